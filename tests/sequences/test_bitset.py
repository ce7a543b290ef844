"""The set of small numbers against Python's own, over one, two and many levels of words."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwright.foundation.compiled import plain
from batchwright.sequences.bitset import empty_set, highest_bit, lowest_bit, next_bit, previous_bit, put, take

SIZES = st.sampled_from([1, 63, 64, 65, 4096, 4097, 20_000])


@given(st.data(), SIZES)
def test_neighbours_are_those_of_the_set(data: st.DataObject, size: int) -> None:
    numbers = st.integers(0, size - 1)
    bits, occupied = empty_set(size)
    members: set[int] = set()
    for number, is_put in data.draw(st.lists(st.tuples(numbers, st.booleans()), max_size=40)):
        (put if is_put else take)(bits, occupied, number)
        (members.add if is_put else members.discard)(number)
    for number in [0, size - 1, *data.draw(st.lists(numbers, max_size=20)), *members]:
        assert next_bit(bits, occupied, number) == min((m for m in members if m >= number), default=-1)
        assert previous_bit(bits, occupied, number) == max((m for m in members if m <= number), default=-1)


@pytest.mark.parametrize("number", range(64))
def test_lowest_and_highest_bit(number: int) -> None:
    for noise in (0, 0xA5A5A5A5A5A5A5A5):
        above = np.uint64((1 << number) | ((noise >> number) << number))
        below = np.uint64((1 << number) | (noise & ((1 << number) - 1)))
        for lowest, highest in ((lowest_bit, highest_bit), (plain(lowest_bit), plain(highest_bit))):
            with np.errstate(over="ignore"):
                assert (lowest(above), highest(below)) == (number, number)


def test_one_past_the_last_has_no_successor() -> None:
    bits, occupied = empty_set(64)
    put(bits, occupied, 63)
    assert next_bit(bits, occupied, 64) == -1
