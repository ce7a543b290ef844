"""Ranges of positions that nobody eats, and the arithmetic around them.

Position numbers go on over a skipped range: position n names the same row with and without it; the range is simply
never eaten. Counting only what is eaten gives a second number u = 0, 1, 2 … without holes, in which steps are equal
stretches; u ↔ position is a bijection between the whole numbers and the positions not skipped.

    skipped [3, 5)     position  0 1 2 3 4 5 6        eaten_before(3) = eaten_before(5) = 3
                       u         0 1 2 · · 3 4        position_at(3) = 5

Price: one bisection over the ranges, merged where they touch.
"""

from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate


class Skipped:
    """The union of ranges [first, stop)."""

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        merged: list[tuple[int, int]] = []
        for first, stop in sorted(ranges):
            if merged and first <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(merged[-1][1], stop))
            else:
                merged.append((first, stop))
        self.ranges = tuple(merged)
        self._firsts = [first for first, _ in merged]
        # Positions skipped before each range, and after the last one.
        self._lost = list(accumulate((stop - first for first, stop in merged), initial=0))
        self._holes = [first - lost for first, lost in zip(self._firsts, self._lost, strict=False)]

    def eaten_before(self, position: int) -> int:
        """Positions below this one that are not skipped."""
        k = bisect_right(self._firsts, position)
        if k and position < self.ranges[k - 1][1]:
            return self._holes[k - 1]
        return position - self._lost[k]

    def position_at(self, eaten: int) -> int:
        """Where number `eaten` (from 0) of the positions not skipped stands."""
        return eaten + self._lost[bisect_right(self._holes, eaten)]

    def spans(self, first: int, count: int) -> list[tuple[int, int]]:
        """(first position, count) of the unbroken spans that `count` positions, from number `first` of those not
        skipped on, lie in."""
        out: list[tuple[int, int]] = []
        k, stop = bisect_right(self._holes, first), first + count
        while first < stop:
            end = min(stop, self._holes[k]) if k < len(self._holes) else stop
            out.append((first + self._lost[k], end - first))
            first, k = end, k + 1
        return out

    def __contains__(self, position: int) -> bool:
        k = bisect_right(self._firsts, position)
        return k > 0 and position < self.ranges[k - 1][1]
