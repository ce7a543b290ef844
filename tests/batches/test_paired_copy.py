"""Inputs and targets from one pass: equal to numpy's at every length and place, and nothing written beside them."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchwright.batches.buffers import aligned_empty, new_arrays
from batchwright.batches.paired_copy import copy_paired, copy_paired_reference, settle

DTYPES = [("<u2", "int64"), ("<u2", "uint16"), ("<u2", "int32"), ("<u4", "int64"), ("<u4", "uint32"), ("<u4", "uint16")]


@pytest.mark.parametrize(("stored", "out"), DTYPES)
@given(
    length=st.integers(1, 300),
    places=st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(0, 40)),
    past_cache=st.booleans(),
    seed=st.integers(0, 10),
)
@settings(max_examples=60, deadline=None)
def test_it_is_its_twin_at_every_length_and_alignment(
    stored: str, out: str, length: int, places: tuple[int, int, int], past_cache: bool, seed: int
) -> None:
    largest = min(np.iinfo(stored).max, np.iinfo(out).max)
    source = np.random.default_rng(seed).integers(0, largest, places[0] + length + 1, endpoint=True).astype(stored)
    found = [np.full(places[k] + length + 5, 77, out) for k in (1, 2)]
    expected = [array.copy() for array in found]
    for arrays, copy in ((found, copy_paired), (expected, copy_paired_reference)):
        parts = [array[place : place + length] for array, place in zip(arrays, places[1:], strict=True)]
        extra: Any = (past_cache,) if copy is copy_paired else ()
        copy(source[places[0] :], *parts, *extra)
    settle()
    for mine, theirs in zip(found, expected, strict=True):
        assert np.array_equal(mine, theirs)


def test_the_largest_ids_are_widened_as_they_are() -> None:
    inputs, targets = np.empty(40, np.int64), np.empty(40, np.int64)
    copy_paired(np.full(41, 2**32 - 1, np.uint32), inputs, targets, False)
    assert set(inputs.tolist()) == set(targets.tolist()) == {2**32 - 1}


def test_memory_begins_on_a_cache_line() -> None:
    for shape, dtype in (((3, 5), "int64"), ((1, 1), "uint16"), ((0,), "int32"), ((700, 2048), "uint16")):
        array = aligned_empty(shape, np.dtype(dtype))
        assert array.shape == shape
        assert array.dtype == dtype
        assert array.ctypes.data % 64 == 0


def test_only_large_batches_are_written_past_the_cache() -> None:
    assert not new_arrays(32, 2048, "int64").past_cache[0]
    assert new_arrays(512, 2048, "int64").past_cache[0]
