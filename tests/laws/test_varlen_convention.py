"""Law: `cu_seqlens` and `max_seqlen` are what variable-length attention kernels take, and say what the mask says."""

from collections.abc import Callable

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from batchwright.batches.batch import Batch
from batchwright.batches.geometry import BatchGeometry
from batchwright.batches.loader import BatchLoader
from batchwright.model.isolation import attend, segment_lengths
from batchwright.sequences.packing import BestFit
from batchwright.sequences.plan import Plan
from tests.laws.streams import PLANS, index_of
from tests.model.segmented import parts_of, varlen_reference


def batch_at(plan: Plan, position: int, rows: int, filler: int) -> Batch:
    geometry = BatchGeometry(
        global_batch_size=rows, micro_batch_size=rows + filler, sequence_length=plan.sequence_length
    )
    return next(iter(BatchLoader(plan, geometry).step_from(position)))


BATCHES = st.builds(
    batch_at,
    PLANS.filter(lambda p: p.sequence_length < 1000),
    st.integers(0, 500),
    st.integers(1, 3),
    st.integers(0, 2),
).filter(lambda batch: batch.shape[0] <= 5)


@given(batch=BATCHES)
@settings(max_examples=60)
def test_cu_seqlens_is_int32_from_zero_to_every_slot_with_padding_as_a_segment(batch: Batch) -> None:
    slots = batch.inputs.size
    ends = batch.cu_seqlens
    assert ends.dtype == np.int32
    assert ends.shape == (slots + 1,)
    assert ends[0] == 0
    assert batch.segment_ends[-1] == slots
    assert (np.diff(batch.segment_ends) > 0).all()
    assert (ends[batch.segment_count :] == slots).all()
    assert batch.max_seqlen == np.diff(ends).max()
    assert set(range(0, slots + 1, batch.shape[1])) <= set(ends.tolist()), "no segment reaches over a row's end"
    assert segment_lengths(batch.position_ids) == np.diff(batch.segment_ends).tolist()


def difference(batch: Batch, longest: Callable[[Batch], int]) -> float:
    """Largest difference between the mask and a kernel called with the *whole* cu_seqlens and `longest`."""
    position_ids = torch.from_numpy(batch.position_ids)
    parts = [x.detach() for x in parts_of(position_ids, 0)]
    masked = attend(parts[0], parts[1], parts[2], position_ids, form="mask")
    flat = (x.flatten(0, 1) for x in parts)
    found = varlen_reference(*flat, torch.from_numpy(batch.cu_seqlens), longest(batch)).view(masked.shape)
    return float((found - masked).abs().max())


@given(batch=BATCHES)
@settings(max_examples=40)
def test_a_kernel_called_with_a_batchs_own_arrays_computes_what_the_mask_does(batch: Batch) -> None:
    assert difference(batch, lambda batch: batch.max_seqlen) < 1e-12


def test_a_longest_segment_that_forgets_padding_is_caught() -> None:
    def of_targets(batch: Batch) -> int:
        return max(int(n) for n, begin in zip(np.diff(batch.segment_ends), batch.segment_ends, strict=False)
                   if batch.loss_mask.ravel()[begin])  # fmt: skip

    batch = batch_at(Plan.of(index_of(3, BestFit(), 13)), 0, 1, 1)  # documents of 2 tokens and a row of filler
    assert of_targets(batch) < batch.max_seqlen == 13
    assert difference(batch, of_targets) > 1e-3
