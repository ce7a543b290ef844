"""Personal data: e-mail addresses and public IPv4 addresses become fixed ones, as datatrove 0.10.1's formatter does it.

An address is replaced where it stands in running text, with word boundaries and all, so what follows from the patterns
below is what goes. Private and reserved IPv4 addresses stay.

Guarantee: the text depends on the document alone: the n-th address of a document becomes the n-th replacement, round
and round. (datatrove counts on through all documents of a process, so its text depends on who read what before; the
first document of a process is equal.) Price: a scan for "@" and for a digit and a full stop at memory speed; the
patterns run only over documents that have both.
"""

import ipaddress
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
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
_EMAIL = re.compile(rf"\b{_NAME}(?:\.{_NAME})*@(?:(?:{_LABEL}\.)+{_LABEL}|{_LITERAL})")
_IP = re.compile(rf"(?:{_OCTET}\.){{3}}{_OCTET}")
_DOTTED_DIGITS = re.compile(rb"[0-9]\.[0-9]")


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
        text = document.text if self._suspects(document.utf8) else None
        if text is None:
            return document
        edited = text
        if self.emails:
            edited = _replace(_EMAIL, edited, self.email_replacements, lambda _: True)
        if self.ip_addresses:
            edited = _replace(_IP, edited, self.ip_replacements, is_public)
        return document if edited == text else document.with_text(edited)

    def _suspects(self, utf8: bytes) -> bool:
        return (self.emails and b"@" in utf8) or (self.ip_addresses and _DOTTED_DIGITS.search(utf8) is not None)


def is_public(address: str) -> bool:
    """Whether it is an IPv4 address that the public network routes."""
    try:
        return ipaddress.ip_address(address).is_global
    except ValueError:
        return False


def _replace(pattern: re.Pattern[str], text: str, replacements: Sequence[str], means: Callable[[str], bool]) -> str:
    following = cycle(replacements)
    return pattern.sub(partial(_replacement, following=following, means=means), text)


def _replacement(match: re.Match[str], *, following: "cycle[str]", means: Callable[[str], bool]) -> str:
    return next(following) if means(match.group()) else match.group()
