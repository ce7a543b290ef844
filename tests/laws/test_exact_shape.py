"""Exact shape: every micro-batch is (micro_batch_size, T) on every rank; what is not data is masked and counted."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from batchwright.batches.geometry import BatchGeometry
from batchwright.batches.loader import BatchLoader
from batchwright.sequences.packing import BestFit
from batchwright.sequences.plan import Plan
from tests.laws.streams import PLANS, index_of


def check_step(plan: Plan, geometry: BatchGeometry, number: int) -> None:
    """All ranks' micro-batches of one step."""
    shape = (geometry.micro_batch_size, plan.sequence_length)
    slots = shape[0] * shape[1]
    rows = filler = targets = 0
    promised: set[int] = set()
    counts: set[int] = set()
    for rank in range(geometry.world_size):
        step = BatchLoader(plan, geometry, rank=rank).step_at(number)
        batches = list(step)
        promised.add(step.targets)
        counts.add(len(batches))
        for batch in batches:
            for part in (batch.inputs, batch.targets, batch.loss_mask, batch.position_ids, batch.documents):
                assert part.shape == shape
            assert batch.cu_seqlens.shape == (slots + 1,)
            assert batch.cu_seqlens[0] == 0
            assert batch.cu_seqlens[-1] == slots
            assert (np.diff(batch.segment_ends) > 0).all()
            assert ((batch.documents >= 0) == batch.loss_mask).all()
            assert np.array_equal(np.flatnonzero(batch.position_ids.ravel() == 0), batch.segment_ends[:-1])
            rows += batch.row_count
            filler += shape[0] - batch.row_count
            targets += int(batch.loss_mask.sum())
    assert counts == {geometry.accumulation}
    assert (rows, filler) == (geometry.global_batch_size, geometry.filler_rows)
    assert promised == {targets}


@given(PLANS, st.integers(1, 20), st.integers(1, 9), st.integers(1, 8), st.integers(0, 5))
def test_every_micro_batch_has_the_exact_shape(
    plan: Plan, global_batch_size: int, micro_batch_size: int, world_size: int, number: int
) -> None:
    assume(global_batch_size <= plan.index.row_count)
    geometry = BatchGeometry(
        global_batch_size=global_batch_size,
        micro_batch_size=micro_batch_size,
        sequence_length=plan.sequence_length,
        world_size=world_size,
    )
    check_step(plan, geometry, number)


class FloorsAccumulation(BatchGeometry):
    """Broken twin: the last, partial micro-batch is forgotten."""

    @property
    def accumulation(self) -> int:
        return max(1, self.global_batch_size // self.world_size // self.micro_batch_size)


class ForgetsFiller(BatchGeometry):
    """Broken twin: filler is not counted."""

    @property
    def filler_rows(self) -> int:
        return 0


@pytest.mark.parametrize("twin", [FloorsAccumulation, ForgetsFiller])
def test_the_law_catches_a_geometry_that_miscounts(twin: type[BatchGeometry]) -> None:
    plan = Plan.of(index_of(0, BestFit(), 8))
    geometry = twin(global_batch_size=7, micro_batch_size=2, sequence_length=8, world_size=2)
    with pytest.raises(AssertionError):
        check_step(plan, geometry, 0)
