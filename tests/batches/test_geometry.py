"""BatchGeometry: the cuts cover the global batch once, whatever divides."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwright.batches.geometry import BatchGeometry
from batchwright.foundation.errors import InputError

GEOMETRIES = st.builds(
    BatchGeometry,
    global_batch_size=st.integers(1, 200),
    micro_batch_size=st.integers(1, 40),
    sequence_length=st.integers(2, 5000),
    world_size=st.integers(1, 64),
)


@given(GEOMETRIES)
def test_ranks_cover_the_global_batch_once_and_differ_by_at_most_one_row(geometry: BatchGeometry) -> None:
    cuts = [geometry.rows_of(rank) for rank in range(geometry.world_size)]
    assert cuts[0][0] == 0
    assert cuts[-1][1] == geometry.global_batch_size
    assert all(before[1] == after[0] for before, after in pairwise(cuts))
    sizes = [stop - first for first, stop in cuts]
    assert max(sizes) - min(sizes) <= 1


@given(GEOMETRIES)
def test_micro_batches_cover_every_rank_once_and_every_rank_runs_as_many(geometry: BatchGeometry) -> None:
    computed = 0
    for rank in range(geometry.world_size):
        first, stop = geometry.rows_of(rank)
        parts = [geometry.rows_of_micro_batch(rank, number) for number in range(geometry.accumulation)]
        rows = [row for begin, end in parts for row in range(begin, end)]
        assert rows == list(range(first, stop))
        assert all(end - begin <= geometry.micro_batch_size for begin, end in parts)
        computed += len(parts) * geometry.micro_batch_size
    assert computed == geometry.global_batch_size + geometry.filler_rows
    # One micro-batch less would not do for the rank with the most rows.
    most = -(-geometry.global_batch_size // geometry.world_size)
    assert (geometry.accumulation - 1) * geometry.micro_batch_size < most


def test_the_geometry_says_itself_in_words_and_numbers() -> None:
    geometry = BatchGeometry(global_batch_size=32, micro_batch_size=8, sequence_length=128)
    assert geometry.describe() == ("global batch 32 sequences = 4,096 tokens = micro-batch 8 × accumulation 4 × 1 rank")
    uneven = BatchGeometry(global_batch_size=30, micro_batch_size=4, sequence_length=128, world_size=3)
    assert uneven.describe() == (
        "global batch 30 sequences = 3,840 tokens = micro-batch 4 × accumulation 3 × 3 ranks - 6 filler rows"
    )
    assert uneven.tokens_per_step == 3840
    assert uneven.tokens_per_micro_batch == 512


@pytest.mark.parametrize("field", ["global_batch_size", "micro_batch_size", "world_size"])
def test_nothing_may_be_zero(field: str) -> None:
    sizes = {"global_batch_size": 4, "micro_batch_size": 2, "sequence_length": 8, "world_size": 2, field: 0}
    with pytest.raises(InputError, match=f"{field} is 0"):
        BatchGeometry(**sizes)


def test_what_does_not_exist_is_refused() -> None:
    geometry = BatchGeometry(global_batch_size=4, micro_batch_size=2, sequence_length=8)
    with pytest.raises(InputError, match="no rank 1"):
        geometry.rows_of(1)
    with pytest.raises(InputError, match="no micro-batch 2"):
        geometry.rows_of_micro_batch(0, 2)
    with pytest.raises(InputError, match="sequence of 1 tokens"):
        BatchGeometry(global_batch_size=4, micro_batch_size=2, sequence_length=1)
    with pytest.raises(InputError, match="micro_batch_size ≤ 2,047"):
        BatchGeometry(global_batch_size=4096, micro_batch_size=4096, sequence_length=2**20)
