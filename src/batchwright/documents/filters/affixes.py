"""What is cut off a word's beginning and end, and where it divides: spaCy's English rules (lang/punctuation.py,
lang/en/punctuation.py), as functions of one span codes[first:stop] without white space.

    ("well-known…  →  prefix (   prefix "   infix - between letters   suffix …

Price: constant per call, but for a run of full stops or a unit, which are walked over.
"""

import numpy as np
from numpy.typing import NDArray

from batchwright.documents.filters.character_classes import (
    ALPHA,
    BEFORE_FULL_STOP,
    CUT_AFTER,
    CUT_BEFORE,
    ICON,
    LOWER,
    QUOTE,
    UNIT,
    UPPER,
)
from batchwright.documents.filters.english_tables import LONGEST_UNIT, EnglishTables
from batchwright.documents.filters.hashing import hash_span, slot_of
from batchwright.foundation.compiled import hot_loop

_STOP, _ELLIPSIS, _PLUS, _HYPHEN, _DOLLAR, _DEGREE = 46, 0x2026, 43, 45, 36, 0xB0
_EN_DASH, _EM_DASH, _TILDE, _COMMA, _APOSTROPHE, _QUOTATION = 0x2013, 0x2014, 126, 44, 39, 0x2019


@hot_loop
def is_digit(code: np.uint32) -> bool:
    """0 to 9, as the rules mean it."""
    return bool(48 <= code <= 57)


@hot_loop
def _run_of_stops(codes: NDArray[np.uint32], first: int, stop: int) -> int:
    end = first
    while end < stop and codes[end] == _STOP:
        end += 1
    return end - first


@hot_loop
def prefix_length(codes: NDArray[np.uint32], first: int, stop: int, classes: NDArray[np.uint32]) -> int:
    """Characters that the rules cut off before the rest; 0: none."""
    code = codes[first]
    if classes[code] & CUT_BEFORE:
        return 1
    if code == _PLUS:
        return 0 if first + 1 < stop and is_digit(codes[first + 1]) else 1
    if code == _STOP:
        run = _run_of_stops(codes, first, stop)
        return run if run > 1 else 0
    if first + 1 < stop and codes[first + 1] == _DOLLAR and (code == 65 or code == 67):  # A$ C$
        return 2
    if first + 2 < stop and code == 85 and codes[first + 1] == 83 and codes[first + 2] == _DOLLAR:  # US$
        return 3
    return 0


@hot_loop
def suffix_length(
    codes: NDArray[np.uint32], first: int, stop: int, classes: NDArray[np.uint32], tables: EnglishTables
) -> int:
    """Characters that the rules cut off after the rest, the longest of all that match; 0: none."""
    if first >= stop:
        return 0
    code = codes[stop - 1]
    before = codes[stop - 2] if stop - first > 1 else np.uint32(0)
    longest = 1 if classes[code] & CUT_AFTER else 0
    if code == _STOP:
        return _full_stop(codes, first, stop, classes)
    possessive = (code == 115 or code == 83) and (before == _APOSTROPHE or before == _QUOTATION)  # 's 'S  # noqa: SIM109
    if possessive or (code == _ELLIPSIS and before == _ELLIPSIS):
        longest = 2
    elif code == _PLUS and is_digit(np.uint32(before)):
        longest = 1
    elif classes[code] & UNIT:
        longest = max(longest, _unit(codes, first, stop, tables))
    return longest


@hot_loop
def _full_stop(codes: NDArray[np.uint32], first: int, stop: int, classes: NDArray[np.uint32]) -> int:
    """How many of the full stops at the end go: several always, one after a lower-case letter, digit, mark, or two
    upper-case letters."""
    run = 1
    while stop - run - 1 >= first and codes[stop - run - 1] == _STOP:
        run += 1
    if run > 1:
        return run
    if stop - first < 2:
        return 0
    before = codes[stop - 2]
    if classes[before] & BEFORE_FULL_STOP:
        return 1
    if stop - first < 3:
        return 0
    earlier = codes[stop - 3]
    if classes[before] & UPPER and classes[earlier] & UPPER:
        return 1
    degrees = before == 67 or before == 70 or before == 75  # C F K; the lower-case ones have been met
    return 1 if earlier == _DEGREE and degrees else 0


@hot_loop
def _unit(codes: NDArray[np.uint32], first: int, stop: int, tables: EnglishTables) -> int:
    """The unit or currency that stands right after a digit. No unit holds a digit, so the last digit decides."""
    place = stop - 2
    while place >= first and stop - 1 - place <= LONGEST_UNIT:
        if is_digit(codes[place]):
            key = hash_span(codes, place + 1, stop)
            return stop - 1 - place if tables.units[slot_of(tables.units, key)] != 0 else 0
        place -= 1
    return 0


@hot_loop
def infix_length(codes: NDArray[np.uint32], place: int, first: int, stop: int, classes: NDArray[np.uint32]) -> int:
    """Characters that divide codes[first:stop] at `place`; 0: none."""
    code = codes[place]
    kind = classes[code]
    if kind & ICON or code == _ELLIPSIS:
        return 1
    if kind & ALPHA:
        return 0
    if code == _STOP:
        run = _run_of_stops(codes, place, stop)
        if run > 1:
            return run
    if place == first:
        return 0
    before = codes[place - 1]
    after = codes[place + 1] if place + 1 < stop else np.uint32(0)
    between = classes[before] & ALPHA and classes[after] & ALPHA
    if code == _STOP:
        return 1 if classes[before] & (LOWER | QUOTE) and classes[after] & (UPPER | QUOTE) else 0
    if code == _COMMA:
        return 1 if between else 0
    operator = code == _PLUS or code == _HYPHEN or code == 42 or code == 94  # + - * ^
    if operator and is_digit(before) and (is_digit(after) or after == _HYPHEN):
        return 1
    if not (classes[before] & ALPHA or is_digit(before)):
        return 0
    if (58 <= code <= 62 and code != 59) or code == 47:  # : < = > /
        return 1 if classes[after] & ALPHA else 0
    return _dashes(codes, place, stop, classes)


@hot_loop
def _dashes(codes: NDArray[np.uint32], place: int, stop: int, classes: NDArray[np.uint32]) -> int:
    """- – — ~ -- —— --- before a letter."""
    code = codes[place]
    if code == _HYPHEN:
        most = 3
    elif code == _EM_DASH:
        most = 2
    elif code == _EN_DASH or code == _TILDE:  # noqa: SIM109
        most = 1
    else:
        return 0
    run = 1
    while run < most and place + run < stop and codes[place + run] == code:
        run += 1
    for length in range(1, run + 1):
        if place + length < stop and classes[codes[place + length]] & ALPHA:
            return length
    return 0
