"""Mojibake: UTF-8 that was once read as something else (â€™ for ’, Ã© for é) is read again, by ftfy.

Most text holds none, and ftfy looks at every character. So a table is asked first, for each two neighbouring characters
beyond ASCII: could the first have been a lead byte of UTF-8 and the second a continuation byte, in one of the character
sets that ftfy knows? Controls U+0080–U+009F pass too: Windows-1252 that was read as Latin-1. Only the lines of a
document that pass are given to ftfy, line by line, so one broken line is repaired among whole ones.

Guarantee: needs `pip install 'batchwright[text]'` only for documents that pass the table. Lines longer than PIECE
characters are repaired in pieces. Price: ASCII text one scan at memory speed, other text ~0.5 GB/s; ftfy ~2 MB/s. How
often the table passes what ftfy then leaves: docs/filters.md.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from batchwright.documents.document import Document
from batchwright.documents.pipeline import Dropped
from batchwright.foundation.compiled import hot_loop
from batchwright.foundation.extras import import_extra

CODECS = ("latin-1", "cp1252", "cp1251", "cp1250", "cp1253", "cp1254", "cp1257", "iso8859-2", "mac-roman", "cp437")
PIECE = 100_000
_LEAD, _CONTINUES = 1, 2
_BELOW = 0x3000  # no character of those sets stands higher, but for two


@dataclass(frozen=True, slots=True)
class RepairMojibake:
    """Characters that were decoded wrongly become what they were."""

    name: ClassVar[str] = "mojibake"
    decided_by: ClassVar[tuple[str, ...]] = ("ftfy",)

    def __call__(self, document: Document) -> Document | Dropped:
        if not is_suspect(document.utf8):
            return document
        text = document.text
        repaired = "\n".join(_repaired(line) for line in text.split("\n"))
        return document if repaired == text else document.with_text(repaired)


def is_suspect(utf8: bytes) -> bool:
    """Whether ftfy is asked."""
    return not utf8.isascii() and may_hold_mojibake(np.frombuffer(utf8, np.uint8), _roles())


def _repaired(line: str) -> str:
    if line.isascii() or not is_suspect(line.encode()):
        return line
    fix = import_extra("ftfy", "repairing mojibake").fix_encoding
    pieces = (line[first : first + PIECE] for first in range(0, len(line), PIECE))
    fixed = "".join(fix(piece) for piece in pieces)
    # What ftfy reads again may hold half a surrogate pair, or a character that ends lines; neither is taken.
    return line if "\n" in fixed or "\r" in fixed or any("\ud800" <= each <= "\udfff" for each in fixed) else fixed


@lru_cache(maxsize=1)
def _roles() -> NDArray[np.uint8]:
    """(_BELOW,) per character: a lead byte of UTF-8 in some character set, a continuation byte, or both."""
    roles = np.zeros(_BELOW, np.uint8)
    for byte in range(0x80, 0xF5):
        for codec in CODECS:
            try:
                code = ord(bytes([byte]).decode(codec))
            except UnicodeDecodeError:
                code = byte
            if code < _BELOW and (byte < 0xC0 or byte >= 0xC2):
                roles[code] |= _CONTINUES if byte < 0xC0 else _LEAD
    roles[0xA0] = _CONTINUES  # Mac Roman's lead byte CA too, but pages are full of runs of no-break spaces
    return roles


@hot_loop
def may_hold_mojibake(text: NDArray[np.uint8], roles: NDArray[np.uint8]) -> bool:
    """Whether a possible lead byte is followed by a possible continuation byte. `text` is UTF-8."""
    lead = False
    place = 0
    while place < len(text):
        byte = text[place]
        if byte < 0x80:
            # A no-break space (A0) is the byte that others most often made a blank of.
            if lead and byte == 32 and text[place - 2] == 0xC3:
                return True
            lead = False
            place += 1
            continue
        size = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
        role = 0
        if size == 2 and place + 1 < len(text):
            if byte == 0xC2 and text[place + 1] < 0xA0:
                return True
            role = roles[(byte & 0x1F) << 6 | (text[place + 1] & 0x3F)]
        elif size == 3 and byte == 0xE2 and place + 2 < len(text):
            role = roles[0x2000 | (text[place + 1] & 0x3F) << 6 | (text[place + 2] & 0x3F)]
        if lead and role & 2:
            return True
        lead = role & 1 != 0
        place += size
    return False
