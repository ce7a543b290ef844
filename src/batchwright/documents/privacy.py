"""Personal data: e-mail addresses and public IPv4 addresses become fixed ones, as datatrove 0.10.1's formatter does it.

An address is replaced where it stands in running text, with word boundaries and all, so what follows from the patterns
below is what goes. Private and reserved IPv4 addresses stay.

Guarantee: the text depends on the document alone: the n-th address of a document becomes the n-th replacement, round
and round. (datatrove counts on through all documents of a process, so its text depends on who read what before; the
first document of a process is equal.) Price: a scan for "@" and for four numbers with full stops between; the pattern
of addresses runs only around an "@" that a domain follows.
"""

import ipaddress
import re
import string
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import ClassVar

from batchwright.documents.document import Document
from batchwright.documents.pipeline import Dropped

EMAIL_REPLACEMENTS = ("email@example.com", "firstname.lastname@example.org")
IP_REPLACEMENTS = (
    "22.214.171.124",
    "126.96.36.199",
    "188.8.131.52",
    "184.108.40.206",
    "220.127.116.11",
    "18.104.22.168",
)

_NAME = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|[01]?[0-9][0-9]?)"
_LITERAL = rf"\[(?:{_OCTET}\.){{3}}(?:25[0-5]|2[0-4][0-9]|[01]?[0-9][0-9]?|[A-Za-z0-9-]*[A-Za-z0-9]:)]"
_DOMAIN = rf"(?:(?:{_LABEL}\.)+{_LABEL}|{_LITERAL})"
_EMAIL = re.compile(rf"\b{_NAME}(?:\.{_NAME})*@{_DOMAIN}")
_BEFORE_AT = ".!#$%&'*+/=?^_`{|}~-" + string.ascii_letters + string.digits
_AFTER_AT = re.compile(_DOMAIN)
_IP = re.compile(rf"(?:{_OCTET}\.){{3}}{_OCTET}")
_FOUR_NUMBERS = re.compile(rb"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]")


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplacePersonalData:
    """E-mail and public IPv4 addresses become addresses of nobody."""

    name: ClassVar[str] = "personal_data"
    emails: bool = True
    ip_addresses: bool = True
    email_replacements: Sequence[str] = EMAIL_REPLACEMENTS
    ip_replacements: Sequence[str] = IP_REPLACEMENTS

    def __post_init__(self) -> None:
        for field in ("email_replacements", "ip_replacements"):
            object.__setattr__(self, field, tuple(getattr(self, field)))

    def __call__(self, document: Document) -> Document | Dropped:
        edited = document
        if self.emails and b"@" in edited.utf8:
            edited = _replaced(edited, emails_in(edited.text), self.email_replacements)
        if self.ip_addresses and _FOUR_NUMBERS.search(edited.utf8) is not None:
            public = (match for match in _IP.finditer(edited.text) if is_public(match.group()))
            edited = _replaced(edited, public, self.ip_replacements)
        return edited


def emails_in(text: str) -> Iterator[re.Match[str]]:
    """What the pattern of an e-mail address finds, without trying it at every word: a match holds one "@", and the
    pattern of what comes before it reaches back over characters of addresses only."""
    end, at = 0, text.find("@")
    while at >= 0:
        if _AFTER_AT.match(text, at + 1) is None:
            at = text.find("@", at + 1)
            continue
        match = _EMAIL.search(text, end + len(text[end:at].rstrip(_BEFORE_AT)))
        if match is None:
            return
        yield match
        end = match.end()
        at = text.find("@", end)


def is_public(address: str) -> bool:
    """Whether it is an IPv4 address that the public network routes."""
    try:
        return ipaddress.ip_address(address).is_global
    except ValueError:
        return False


def _replaced(document: Document, matches: Iterable[re.Match[str]], replacements: Sequence[str]) -> Document:
    text, pieces, end = document.text, list[str](), 0
    for match, replacement in zip(matches, cycle(replacements), strict=False):
        pieces += text[end : match.start()], replacement
        end = match.end()
    edited = "".join([*pieces, text[end:]])
    return document if edited == text else document.with_text(edited)
