"""Mail as it lies in mailboxes → its subject and what was written: headers, encodings and attachments go.

Quoted lines and signatures go too unless they are asked for: they stand in other mails.

Guarantee: a document without a block of mail headers at its very beginning is left alone: at least MIN_HEADERS of the
names below, one of them of those that only mail has. A page that begins "From: …" or "Note: …" is no mail. A mail
without any text (only pictures) is dropped as `mail_without_text`. Price: one regular expression at the beginning of
other documents (~1 µs); of mail see `mime`.
"""

import re
from dataclasses import dataclass
from typing import ClassVar

from batchwright.documents.document import Document
from batchwright.documents.html import html_to_text, is_html
from batchwright.documents.mime import TextPart, split_headers, subject_of, text_parts
from batchwright.documents.pipeline import Dropped

MIN_HEADERS = 3
_BEGINS = re.compile(rb"(?:From [^\n]{1,300}\n)?[A-Za-z][A-Za-z0-9-]{0,60}:[ \t\r\n]")
# Where others' words are taken out, so is the line that introduces them: "… wrote:".
_QUOTED = re.compile(
    r"(?:^[^\n>]{0,200}(?:wrote|writes|said):[ \t]*\n\n?)?(?:^[ \t]*(?:[A-Za-z]{1,4})?>[^\n]*(?:\n|\Z))+", re.MULTILINE
)
_SIGNATURE = re.compile(r"^(?:-- ?|_{20,}[ \t]*)$", re.MULTILINE)
_OF_MAIL = frozenset({"received", "return-path", "message-id", "delivered-to", "mime-version", "content-type"})
_KNOWN = _OF_MAIL | {"from", "to", "cc", "date", "subject", "reply-to", "sender", "delivery-date", "in-reply-to"}


@dataclass(frozen=True, kw_only=True, slots=True)
class MailToText:
    """What somebody wrote in a mail."""

    name: ClassVar[str] = "mail"
    decided_by: ClassVar[tuple[str, ...]] = ("python",)
    subject: bool = True  # as the first line
    quotes: bool = False  # keep lines that begin with ">", which somebody else wrote before
    signature: bool = False  # keep what stands after a line "-- ", or after a line of underscores as lists add it

    def __call__(self, document: Document) -> Document | Dropped:
        if not _BEGINS.match(document.utf8):
            return document
        headers, body = split_headers(document.text)
        names = {name.lower() for name in headers.keys()}  # noqa: SIM118 - a Message is no mapping
        if len(names & _KNOWN) < MIN_HEADERS or not names & _OF_MAIL:
            return document
        texts = [text for part in text_parts(headers, body) if (text := self._text_of(part))]
        if not texts:
            return Dropped("mail_without_text", headers.get_content_type())
        if self.subject and (subject := subject_of(headers)):
            texts.insert(0, subject)
        # An undecodable half of a pair, and what no text may hold, does not leave this step.
        text = "\n\n".join(texts).encode("utf-8", "replace").decode()
        return document.with_text(text)

    def _text_of(self, part: TextPart) -> str:
        text = part.text.replace("\r\n", "\n")
        utf8 = text.encode("utf-8", "replace")
        if part.html or is_html(utf8):  # much that says it is plain is not
            return html_to_text(utf8)
        text = text if self.signature else _SIGNATURE.split(text, 1)[0]
        return (text if self.quotes else _QUOTED.sub("", text)).strip("\n")
