"""Which source stands at which place: a periodic pattern that keeps every share at every prefix.

Guarantee: among the first n places, for every n, every source i with quota w_i of the period P has a count c_i with
|c_i - n·w_i/P| < 1, and exactly w_i in every whole period. Place ↔ (source, ordinal within the source) is a closed
form both ways. Price: a table of 8 bytes per place of one period, P ≤ 65,536, made once (~1 ms at most; a few places
for weights like 7:2:1), and two divisions per place asked for.

Construction: the j-th row of source i may stand from place ⌊(j-1)·P/w_i⌋ on (earlier, and it would be one ahead) and
must stand before place ⌈j·P/w_i⌉ (later, and it would be one behind). Of the sources that may, the one that must
soonest is taken. Unit jobs with whole release times and deadlines: earliest deadline first meets all of them whenever
any order does, and the fractional order "w_i/P of every place" does (the chairman assignment problem, Tijdeman 1980; as
windows: Baruah, Cohen, Plaxton & Varvel 1996).

    weights 3:2:1   place  0 1 2 3 4 5 | 6 7 …       a: places 0, 2, 4 of every six
                    source a b a b a c | a b …
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache
from math import gcd, lcm
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from batchwright.foundation.compiled import hot_loop
from batchwright.foundation.errors import InputError

LARGEST_PERIOD = 2**16
Weight = int | Fraction


class Pattern(NamedTuple):
    """`places[r]` = (source, how many of it stand before r); `slots[firsts[i] + j]` = the place of source i's row j."""

    places: NDArray[np.int32]
    slots: NDArray[np.int32]
    firsts: NDArray[np.int64]


@hot_loop
def _assign(quotas: NDArray[np.int64], places: NDArray[np.int32]) -> int:
    """Earliest deadline first over one period; the number of places filled (all of them, or the theorem is wrong)."""
    period, sources = places.shape[0], quotas.shape[0]
    counts = np.zeros(sources, np.int64)
    release = np.zeros(sources, np.int64)
    deadline = np.empty(sources, np.int64)
    for i in range(sources):
        deadline[i] = (period + quotas[i] - 1) // quotas[i]
    for place in range(period):
        chosen = -1
        for i in range(sources):
            if counts[i] < quotas[i] and release[i] <= place and (chosen < 0 or deadline[i] < deadline[chosen]):
                chosen = i
        if chosen < 0 or deadline[chosen] <= place:
            return place
        places[place, 0], places[place, 1] = chosen, counts[chosen]
        counts[chosen] += 1
        release[chosen] = counts[chosen] * period // quotas[chosen]
        deadline[chosen] = ((counts[chosen] + 1) * period + quotas[chosen] - 1) // quotas[chosen]
    return period


@lru_cache(maxsize=64)
def pattern_of(quotas: tuple[int, ...]) -> Pattern:
    """One period of these quotas."""
    counts = np.array(quotas, np.int64)
    places = np.empty((int(counts.sum()), 2), np.int32)
    filled = _assign(counts, places)
    assert filled == places.shape[0], f"no source may stand at place {filled} of {quotas}"
    return Pattern(
        places=places,
        slots=np.argsort(places[:, 0], kind="stable").astype(np.int32),
        firsts=np.append(0, np.cumsum(counts)),
    )


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """Weights of slots: whole numbers in any proportion (3, 2, 1), or shares that sum to 1 (7/10, 2/10, 1/10).

    Weights whose common period would be longer than 65,536 are rounded to it, never to nothing; `rounding` says by how
    much of the whole at most, and the guarantee holds for the rounded ones (`quotas`). Raises InputError (no source, a
    weight that is not positive, shares that do not sum to 1).
    """

    weights: tuple[Weight, ...]

    def __post_init__(self) -> None:
        for number, weight in enumerate(self.weights):
            if weight <= 0:
                raise InputError(f"weight {number + 1} of {len(self.weights)} is {weight}", remedy="a number above 0")
        if not 1 <= len(self.weights) <= LARGEST_PERIOD:
            raise InputError(f"a mixture of {len(self.weights):,} sources", remedy=f"1 to {LARGEST_PERIOD:,} sources")
        total = sum(map(Fraction, self.weights), Fraction())
        if any(Fraction(weight).denominator != 1 for weight in self.weights) and total != 1:
            raise InputError(
                f"the weights {', '.join(map(str, self.weights))} sum to {total} ({float(total):.6g}), not to 1",
                remedy="shares that sum to exactly 1, or whole numbers, which may have any sum",
            )

    @cached_property
    def shares(self) -> tuple[Fraction, ...]:
        """What was asked for, of 1."""
        total = sum(map(Fraction, self.weights), Fraction())
        return tuple(Fraction(weight) / total for weight in self.weights)

    @cached_property
    def quotas(self) -> tuple[int, ...]:
        """Rows of every source in one period."""
        return _quotas(self.shares)

    @property
    def period(self) -> int:
        return sum(self.quotas)

    @property
    def rounding(self) -> Fraction:
        """The largest |share asked - share given|; 0 unless the exact period would be too long."""
        period = self.period
        return max(abs(share - Fraction(quota, period)) for share, quota in zip(self.shares, self.quotas, strict=True))

    @property
    def pattern(self) -> Pattern:
        return pattern_of(self.quotas)

    def at(self, place: int) -> tuple[int, int]:
        """(source, its ordinal) at a place, from 0."""
        periods, r = divmod(place, self.period)
        source, before = int(self.pattern.places[r, 0]), int(self.pattern.places[r, 1])
        return source, periods * self.quotas[source] + before

    def count_before(self, source: int, place: int) -> int:
        """How many of a source stand before a place."""
        periods, r = divmod(place, self.period)
        return periods * self.quotas[source] + int(np.searchsorted(self._slots(source), r))

    def place_of(self, source: int, ordinal: int) -> int:
        """Where a source's row stands: the inverse of `at`."""
        periods, j = divmod(ordinal, self.quotas[source])
        return periods * self.period + int(self._slots(source)[j])

    def _slots(self, source: int) -> NDArray[np.int32]:
        pattern = self.pattern
        return pattern.slots[pattern.firsts[source] : pattern.firsts[source + 1]]


def _quotas(shares: Sequence[Fraction]) -> tuple[int, ...]:
    """Whole numbers in these proportions, exactly where their sum stays within the bound, else the nearest that do."""
    common = lcm(*(share.denominator for share in shares))
    exact = [share.numerator * (common // share.denominator) for share in shares]
    shared = gcd(*exact)
    if sum(exact) // shared <= LARGEST_PERIOD:
        return tuple(quota // shared for quota in exact)
    # Largest remainder; whoever would get nothing gets one row, taken from whoever has most above its share.
    quotas = [max(1, int(share * LARGEST_PERIOD)) for share in shares]
    while (missing := LARGEST_PERIOD - sum(quotas)) != 0:
        excess = [quota - share * LARGEST_PERIOD for quota, share in zip(quotas, shares, strict=True)]
        order = sorted(range(len(shares)), key=lambda i: (excess[i], i))
        if missing > 0:
            for i in order[:missing]:
                quotas[i] += 1
        else:
            giving = next(i for i in reversed(order) if quotas[i] > 1)
            quotas[giving] -= 1
    shared = gcd(*quotas)
    return tuple(quota // shared for quota in quotas)
