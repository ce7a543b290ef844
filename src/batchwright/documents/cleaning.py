"""The cleaning every text gets: one newline, one Unicode form, no empty or binary documents.

Each step is a small frozen value, called with a document; it returns the same document, a changed one, or why the
document is dropped. Guarantee: a step is a pure function of the text. Price: for ASCII without carriage returns, three
scans at memory speed (~10 GB/s); other texts are decoded and tested for normal form (~0.5 GB/s).
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

from batchwright.documents.document import Document
from batchwright.documents.pipeline import Dropped, Step

MAXIMUM_MARKS = 128


@dataclass(frozen=True, slots=True)
class DropBinary:
    """A text with the character U+0000 is no text."""

    name: ClassVar[str] = "binary"

    def __call__(self, document: Document) -> Document | Dropped:
        return Dropped("binary") if b"\0" in document.utf8 else document


@dataclass(frozen=True, slots=True)
class NormalizeNewlines:
    """Windows (\\r\\n) and old Mac (\\r) line ends become \\n."""

    name: ClassVar[str] = "newlines"

    def __call__(self, document: Document) -> Document | Dropped:
        if b"\r" not in document.utf8:
            return document
        return document.with_utf8(document.utf8.replace(b"\r\n", b"\n").replace(b"\r", b"\n"))


@dataclass(frozen=True, slots=True)
class NormalizeUnicode:
    """Unicode normal form C: é is one character, however it was typed.

    A text with more than `MAXIMUM_MARKS` combining marks in a row is dropped where they would have to be sorted: that
    takes time in the square of their number, a day for a few megabytes made to harm. No writing needs more than a few.
    """

    name: ClassVar[str] = "unicode_nfc"

    def __call__(self, document: Document) -> Document | Dropped:
        if document.utf8.isascii() or unicodedata.is_normalized("NFC", document.text):
            return document
        if _too_many_marks().search(document.text):
            return Dropped("too_many_combining_marks")
        return document.with_text(unicodedata.normalize("NFC", document.text))


@lru_cache(maxsize=1)
def _too_many_marks() -> re.Pattern[str]:
    """Found in a text with more than `MAXIMUM_MARKS` characters in a row of a combining class that is not 0."""
    marks = "".join(re.escape(chr(code)) for code in range(0x300, 0x20000) if unicodedata.combining(chr(code)))
    return re.compile(f"[{marks}]{{{MAXIMUM_MARKS + 1}}}")


@dataclass(frozen=True, slots=True)
class DropEmpty:
    """Nothing, or nothing but white space, teaches nothing."""

    name: ClassVar[str] = "empty"

    def __call__(self, document: Document) -> Document | Dropped:
        if document.utf8.isspace() or not document.utf8:
            return Dropped("empty")
        if not document.utf8.isascii() and document.text.isspace():
            return Dropped("empty")
        return document


DEFAULT_STEPS: tuple[Step, ...] = (DropBinary(), NormalizeNewlines(), NormalizeUnicode(), DropEmpty())
