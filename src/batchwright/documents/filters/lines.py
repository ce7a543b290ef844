"""Lines as Python's `str.splitlines` sees them, walked over in native loops."""

import numpy as np
from numpy.typing import NDArray

from batchwright.documents.filters.character_classes import LINE_BREAK, SPACE
from batchwright.foundation.compiled import hot_loop

_RETURN, _NEWLINE = 13, 10


@hot_loop
def line_end(codes: NDArray[np.uint32], first: int, classes: NDArray[np.uint32]) -> int:
    """Where the line that begins at `first` ends, its line break excluded."""
    place = first
    while place < len(codes) and not classes[codes[place]] & LINE_BREAK:
        place += 1
    return place


@hot_loop
def after_break(codes: NDArray[np.uint32], end: int) -> int:
    """Where the line after the break at `end` begins."""
    if end + 1 < len(codes) and codes[end] == _RETURN and codes[end + 1] == _NEWLINE:
        return end + 2
    return end + 1


@hot_loop
def left_strip(codes: NDArray[np.uint32], first: int, stop: int, classes: NDArray[np.uint32]) -> int:
    """Where codes[first:stop] begins without its leading white space."""
    while first < stop and classes[codes[first]] & SPACE:
        first += 1
    return first


@hot_loop
def right_strip(codes: NDArray[np.uint32], first: int, stop: int, classes: NDArray[np.uint32]) -> int:
    """Where codes[first:stop] ends without its trailing white space."""
    while stop > first and classes[codes[stop - 1]] & SPACE:
        stop -= 1
    return stop


@hot_loop
def ends_with_ellipsis(codes: NDArray[np.uint32], first: int, stop: int) -> bool:
    """Whether codes[first:stop] ends with … or three full stops."""
    if stop > first and codes[stop - 1] == 0x2026:
        return True
    return stop - first >= 3 and codes[stop - 1] == 46 and codes[stop - 2] == 46 and codes[stop - 3] == 46
