"""Is a word the address of something on the web? spaCy's pattern (lang/tokenizer_exceptions.py), walked by hand.

    [scheme://] [anything@] (public IPv4 address | labels.of.a.host.tld) [:port] [/path ?query #fragment]

The pattern's alternatives never need backtracking: a label ends at its full stop, a host at ":" "/" "?" "#" or the end.
Price: linear in the word.
"""

import numpy as np
from numpy.typing import NDArray

from batchwright.documents.filters.character_classes import DIGIT, HOST, LOWER, WORDLIKE
from batchwright.foundation.compiled import hot_loop

_AT, _COLON, _SLASH, _STOP, _HYPHEN, _UNDERSCORE, _PLUS = 64, 58, 47, 46, 45, 95, 43
_LABEL_LONGEST, _TLD_LONGEST = 64, 63


@hot_loop
def is_url(codes: NDArray[np.uint32], first: int, stop: int, classes: NDArray[np.uint32]) -> bool:
    """Whether codes[first:stop], which holds no white space, matches as a whole."""
    if _is_address(codes, first, stop, classes):
        return True
    after_scheme = _after_scheme(codes, first, stop, classes)
    if after_scheme > first and _is_address(codes, after_scheme, stop, classes):
        return True
    for place in range(first + 1, stop):  # noqa: SIM110  # a user name has at least one character
        if codes[place] == _AT and _is_address(codes, place + 1, stop, classes):
            return True
    return False


@hot_loop
def _after_scheme(codes: NDArray[np.uint32], first: int, stop: int, classes: NDArray[np.uint32]) -> int:
    """Where the host begins after "https://", or `first`."""
    place = first
    while place < stop and (
        classes[codes[place]] & WORDLIKE or codes[place] == _PLUS or codes[place] == _HYPHEN or codes[place] == _STOP
    ):
        place += 1
    long_enough = place - first >= 2 and place + 2 < stop
    if long_enough and codes[place] == _COLON and codes[place + 1] == _SLASH and codes[place + 2] == _SLASH:
        return place + 3
    return first


@hot_loop
def _is_address(codes: NDArray[np.uint32], first: int, stop: int, classes: NDArray[np.uint32]) -> bool:
    if first >= stop or not classes[codes[first]] & (HOST | DIGIT):
        return False
    return _is_ip_address(codes, first, stop, classes) or _is_host(codes, first, stop, classes)


@hot_loop
def _ends_host(codes: NDArray[np.uint32], place: int, stop: int, classes: NDArray[np.uint32]) -> bool:
    """Whether only a port and a path may follow from here."""
    if place < stop and codes[place] == _COLON:
        port = place + 1
        while port < stop and port - place <= 6 and classes[codes[port]] & DIGIT:
            port += 1
        if not 2 <= port - place - 1 <= 5:
            return False
        place = port
    return place == stop or codes[place] == _SLASH or codes[place] == 63 or codes[place] == 35  # ? #


@hot_loop
def _is_host(codes: NDArray[np.uint32], first: int, stop: int, classes: NDArray[np.uint32]) -> bool:
    place, labels = first, 0
    while place < stop:
        if labels:
            end = place
            while end < stop and end - place <= _TLD_LONGEST and classes[codes[end]] & LOWER:
                end += 1
            if 2 <= end - place <= _TLD_LONGEST and _ends_host(codes, end, stop, classes):
                return True
        end = place
        while end < stop and end - place <= _LABEL_LONGEST and _in_label(codes[end], classes):
            end += 1
        if end == place or end == stop or end - place > _LABEL_LONGEST or codes[end] != _STOP:  # noqa: SIM109
            return False
        if not (classes[codes[place]] & HOST and classes[codes[end - 1]] & HOST):
            return False
        place, labels = end + 1, labels + 1
    return False


@hot_loop
def _in_label(code: np.uint32, classes: NDArray[np.uint32]) -> bool:
    return bool(classes[code] & HOST or code == _HYPHEN or code == _UNDERSCORE)  # noqa: SIM109


@hot_loop
def _is_ip_address(codes: NDArray[np.uint32], first: int, stop: int, classes: NDArray[np.uint32]) -> bool:
    """A dotted quad outside the private networks."""
    place = first
    one = two = 0
    for number in range(4):
        if number:
            if place >= stop or codes[place] != _STOP:
                return False
            place += 1
        end = place
        while end < stop and end - place <= 3 and classes[codes[end]] & DIGIT:
            end += 1
        value = _octet(codes, place, end, number == 0 or number == 3)
        highest = 223 if number == 0 else (254 if number == 3 else 255)
        if value < 0 or value > highest:
            return False
        if number == 0:
            one = value
        elif number == 1:
            two = value
        place = end
    private = one == 10 or one == 127 or (one == 169 and two == 254) or (one == 192 and two == 168)
    return not (private or (one == 172 and 16 <= two <= 31)) and _ends_host(codes, place, stop, classes)


@hot_loop
def _octet(codes: NDArray[np.uint32], first: int, stop: int, not_zero: bool) -> int:
    """The number codes[first:stop], one to three digits, or −1. A digit of another script, which the pattern takes in
    some places, counts as 9, which keeps the comparison with the bounds right."""
    length = stop - first
    if length < 1 or length > 3:
        return -1
    value = 0
    for place in range(first, stop):
        digit = np.int64(codes[place]) - 48
        ascii_digit = 0 <= digit <= 9
        if not ascii_digit and place == first and (not_zero or length == 3):
            return -1
        if place == first and digit == 0 and (not_zero or length == 3):
            return -1
        value = value * 10 + (digit if ascii_digit else 9)
    return int(value)
