"""How many values a line of JSON holds, counted before a parser makes an object of each.

    {"text":"a, [b]","x":[[],[1]]}      outside of strings 4 openers "[" "{" and 2 commas: at most 7 values

16 MiB of `[[[[]]]],` are 15 million bytes that become 640 MiB of Python's lists. So a line that is long enough to hold
more than `MAXIMUM_VALUES` is looked at first. Guarantee: what passes becomes at most ~100 MiB of objects; a line
shorter than `COUNTED_FROM_BYTES` always passes. Price: nothing for a short line, three scans at memory speed for a long
one; only where they find enough marks, strings and all, ~0.2 GB/s and four copies of it.
"""

import numpy as np

MAXIMUM_VALUES = 2**19
COUNTED_FROM_BYTES = MAXIMUM_VALUES  # every value takes a byte of its own: "[", "{" or ","

_QUOTE, _MARKS = ord('"'), b"[{,"


def holds_too_many_values(line: bytes) -> bool:
    """Whether this line is more than a record of text may be."""
    if sum(map(line.count, _MARKS)) < MAXIMUM_VALUES:
        return False
    return value_count(line) > MAXIMUM_VALUES


def value_count(line: bytes) -> int:
    """At least as many as there are values in a line of JSON: each but the first stands behind an opener or a comma.
    Of bytes that are no JSON, some number.
    """
    if b"\\" in line:
        line = line.replace(b"\\\\", b"").replace(b'\\"', b"")
    codes = np.frombuffer(line, np.uint8)
    within = np.bitwise_xor.accumulate(codes == _QUOTE)  # a string's opening quote is, its closing one is not
    marks = np.zeros(codes.shape[0], np.bool_)
    for mark in _MARKS:
        marks |= codes == mark
    return 1 + int(np.count_nonzero(marks & ~within))
