"""Inputs and targets from one pass: equal to numpy's at every length and place, and nothing written beside them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchwright.batches.buffers import aligned_empty, new_arrays
from batchwright.batches.paired_copy import copy_paired, copy_paired_reference, settle

DTYPES = [("<u2", "int64"), ("<u2", "uint16"), ("<u2", "int32"), ("<u4", "int64"), ("<u4", "uint32"), ("<u4", "uint16")]


@pytest.mark.parametrize(("stored", "out"), DTYPES)
@given(
    length=st.integers(0, 300),
    places=st.tuples(st.integers(0, 40), *[st.sampled_from([0, 0, 1, 4, 31])] * 2),
    past_cache=st.booleans(),
    seed=st.integers(0, 10),
)
@settings(max_examples=60, deadline=None)
def test_it_is_its_twin_at_every_length_and_place(
    stored: str, out: str, length: int, places: tuple[int, int, int], past_cache: bool, seed: int
) -> None:
    largest = min(np.iinfo(stored).max, np.iinfo(out).max)
    ids = np.random.default_rng(seed).integers(0, largest, places[0] + length + 1, endpoint=True).astype(stored)
    found = [aligned_empty((place + length + 40,), np.dtype(out)) for place in places[1:]]
    for array in found:
        array[...] = 77
    expected = [array.copy() for array in found]
    for arrays, copy in ((found, copy_paired), (expected, copy_paired_reference)):
        parts = [array[place : place + length] for array, place in zip(arrays, places[1:], strict=True)]
        copy(ids[places[0] :], *parts, past_cache)
    settle()
    assert all(np.array_equal(mine, theirs) for mine, theirs in zip(found, expected, strict=True))


def test_the_largest_ids_are_widened_as_they_are() -> None:
    for length in (3, 100):
        inputs, targets = np.empty(length, np.int64), np.empty(length, np.int64)
        copy_paired(np.full(length + 1, 2**32 - 1, np.uint32), inputs, targets, False)
        assert set(inputs.tolist()) == set(targets.tolist()) == {2**32 - 1}


def test_memory_begins_on_a_cache_line() -> None:
    for shape, dtype in (((3, 5), "int64"), ((1, 1), "uint16"), ((700, 2048), "uint16")):
        array = aligned_empty(shape, np.dtype(dtype))
        assert array.shape == shape
        assert array.dtype == dtype
        assert array.ctypes.data % 64 == 0


def test_only_large_batches_are_written_past_the_cache_and_none_that_the_certificate_reads() -> None:
    assert not new_arrays(32, 2048, "int64").past_cache[0]
    assert new_arrays(512, 2048, "int64").past_cache[0]
    assert not new_arrays(512, 2048, "int64", read_soon=True).past_cache[0]
