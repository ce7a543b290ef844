"""Phrases whose presence decides about a line: found in one walk over its characters, case aside.

Case is Python's: `line.lower()`, under which one character beyond A to Z becomes an ASCII letter, the Kelvin sign K.
"""

from enum import IntFlag
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from batchwright.foundation.compiled import hot_loop

_KELVIN = 0x212A


class Found(IntFlag):
    """What a line holds."""

    LOREM_IPSUM = 1
    JAVASCRIPT = 2
    POLICY = 4
    CURLY_BRACKET = 8


_PHRASES = {
    "lorem ipsum": Found.LOREM_IPSUM,
    "javascript": Found.JAVASCRIPT,
    "terms of use": Found.POLICY,
    "privacy policy": Found.POLICY,
    "cookie policy": Found.POLICY,
    "uses cookies": Found.POLICY,
    "use of cookies": Found.POLICY,
    "use cookies": Found.POLICY,
    "{": Found.CURLY_BRACKET,
}


@lru_cache(maxsize=1)
def phrase_table() -> NDArray[np.uint32]:
    """(phrases, 2 + longest) uint32: flag, length, characters."""
    longest = max(map(len, _PHRASES))
    table = np.zeros((len(_PHRASES), 2 + longest), np.uint32)
    for row, (phrase, flag) in zip(table, _PHRASES.items(), strict=True):
        row[:2] = flag, len(phrase)
        row[2 : 2 + len(phrase)] = [ord(character) for character in phrase]
    return table


@hot_loop
def lowered(code: np.uint32) -> np.uint32:
    """The character in lower case, as far as ASCII letters come of it."""
    if 65 <= code <= 90:
        return np.uint32(code + 32)
    return np.uint32(107) if code == _KELVIN else np.uint32(code)


@hot_loop
def phrases_in(codes: NDArray[np.uint32], first: int, stop: int, table: NDArray[np.uint32]) -> int:
    """The flags of all phrases in codes[first:stop]."""
    found = 0
    for place in range(first, stop):
        code = lowered(codes[place])
        for row in range(table.shape[0]):
            length = np.int64(table[row, 1])
            if code != table[row, 2] or place + length > stop:
                continue
            same = 1
            while same < length and lowered(codes[place + same]) == table[row, 2 + same]:
                same += 1
            if same == length:
                found |= np.int64(table[row, 0])
    return int(found)
