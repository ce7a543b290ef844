"""The texts of a mail: RFC 5322 headers, then MIME parts (RFC 2045–2047), each decoded to characters.

    Subject: =?utf-8?q?Caf=C3=A9?=          ┌ text/plain, quoted-printable     "Un café."
    Content-Type: multipart/mixed;    ──▶   ├ multipart/alternative: plain or, without one, HTML
      boundary=x                            └ image/png, attachments           nothing

Guarantee: any characters are taken; what cannot be decoded stays as it stands. Parts nest at most MAX_DEPTH deep and
number at most MAX_PARTS; what is deeper is left out. Headers are Python's `email.message` business, parts are cut here:
the package's parser recurses per part and asks for the whole boundary set at each line. Price: ~20 MB
of mail per CPU-second (`python -m benchmarks.cleaning`).
"""

import binascii
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from email import message_from_string
from email.errors import HeaderParseError, MessageError
from email.header import decode_header, make_header
from email.message import Message
from quopri import decodestring
from typing import Any

MAX_DEPTH = 16
MAX_PARTS = 1000
MAX_HEADER_CHARACTERS = 256 * 1024
_HEADERS_END = re.compile(r"\r?\n\r?\n")
_ENVELOPE = re.compile(r"From [^\n]*\n")


@dataclass(frozen=True, slots=True)
class TextPart:
    """One text of a mail."""

    text: str
    html: bool


@dataclass(slots=True)
class _Left:
    """How many more parts are read."""

    parts: int = MAX_PARTS


def split_headers(mail: str) -> tuple["Message[str, str]", str]:
    """(the headers, the body). A line `From …` before them, as mailboxes have it, belongs to neither."""
    envelope = _ENVELOPE.match(mail)
    mail = mail[envelope.end() :] if envelope else mail
    if mail.startswith(("\n", "\r\n")):  # no headers: a part may begin with its body
        return message_from_string(""), mail.lstrip("\r\n")
    end = _HEADERS_END.search(mail, 0, MAX_HEADER_CHARACTERS)
    head, body = (mail[: end.start()], mail[end.end() :]) if end else (mail[:MAX_HEADER_CHARACTERS], "")
    return message_from_string(head + "\n\n"), body


def subject_of(headers: "Message[str, str]") -> str:
    """The subject, decoded, on one line."""
    raw = _header(headers, "Subject")
    with suppress(HeaderParseError, UnicodeError, LookupError, ValueError):  # then as it stands
        raw = str(make_header(decode_header(raw)))
    return " ".join(raw.split())


def text_parts(
    headers: "Message[str, str]", body: str, depth: int = 0, left: _Left | None = None
) -> Iterator[TextPart]:
    """The texts of a mail in their order; of alternatives the first plain one, else the first HTML."""
    left = left or _Left()
    left.parts -= 1
    if depth > MAX_DEPTH or left.parts < 0:
        return
    kind = headers.get_content_type()
    boundary = _boundary(headers) if kind.startswith("multipart/") else None
    if boundary:
        yield from _multipart(kind, body, boundary, depth, left)
    elif kind in ("message/rfc822", "message/news"):
        inner, inner_body = split_headers(body)
        yield from text_parts(inner, inner_body, depth + 1, left)
    elif kind in ("text/plain", "text/html") and not _is_attachment(headers):
        yield TextPart(_decoded(headers, body), kind == "text/html")


def _multipart(kind: str, body: str, boundary: str, depth: int, left: _Left) -> Iterator[TextPart]:
    chosen: list[list[TextPart]] = []
    for part in _parts(body, boundary):
        inner, inner_body = split_headers(part)
        texts = [each for each in text_parts(inner, inner_body, depth + 1, left) if each.text.strip()]
        if kind != "multipart/alternative":
            yield from texts
        elif texts:
            chosen.append(texts)
    plain = [texts for texts in chosen if not any(each.html for each in texts)]
    yield from (plain or chosen or [[]])[0]


def _parts(body: str, boundary: str) -> Iterator[str]:
    """What stands between the lines `--boundary`, up to `--boundary--`."""
    line = re.compile(rf"(?:\A|\n)--{re.escape(boundary)}(--)?[ \t\r]*(?=\n|\Z)")
    first: int | None = None
    for mark in line.finditer(body):
        if first is not None:
            yield body[first : mark.start()].removesuffix("\r")
        first = min(mark.end() + 1, len(body))
        if mark.group(1):
            return
    if first is not None:  # never closed: the rest is the last part
        yield body[first:]


def _decoded(headers: "Message[str, str]", body: str) -> str:
    """The characters of a body: its transfer encoding undone, its bytes read in its character set.

    A mail that came as text has its 8-bit bytes as characters up to U+00FF, read as Latin-1; these are bytes again.
    """
    encoding = _header(headers, "Content-Transfer-Encoding").strip().lower()
    try:
        raw = body.encode("latin-1")
    except UnicodeEncodeError:  # already characters; an encoded body is ASCII
        return body
    if encoding == "quoted-printable":
        raw = decodestring(raw)
    elif encoding == "base64":
        try:
            raw = binascii.a2b_base64(raw + b"==")
        except binascii.Error:
            return body
    elif raw.isascii() and b"\x1b" not in raw:
        return body
    for name in (_charset(headers), "utf-8", "windows-1252"):
        try:
            return raw.decode(name)
        except (LookupError, UnicodeError, ValueError):
            continue
    return raw.decode("latin-1")


def _charset(headers: "Message[str, str]") -> str:
    try:
        name = headers.get_content_charset("utf-8")
    except (MessageError, UnicodeError, LookupError, ValueError):
        return "utf-8"
    # What says Latin-1 is Windows' superset of it, as every browser takes it; and it must be a character set at all.
    return {"iso-8859-1": "windows-1252", "us-ascii": "windows-1252", "gb2312": "gb18030"}.get(name, name)


def _boundary(headers: "Message[str, str]") -> str | None:
    try:
        return headers.get_boundary()
    except (MessageError, UnicodeError, LookupError, ValueError):
        return None


def _is_attachment(headers: "Message[str, str]") -> bool:
    return _header(headers, "Content-Disposition").strip().lower().startswith("attachment")


def _header(headers: "Message[str, str]", name: str) -> str:
    value: Any = headers.get(name, "")
    return str(value)
