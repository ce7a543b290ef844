"""Conservation of tokens: stored = targets in rows + dropped (here: none); slots = targets + padding."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from batchwright.batches.evaluation import evaluation_batches
from batchwright.sequences.packing import BestFit, Concatenate, Packed, Packing
from batchwright.sequences.plan import Plan
from tests.laws.streams import PLANS

LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=40)


def check_packing(packing: Packing, lengths: list[int], sequence_length: int) -> None:
    """Every token of every document lies in exactly one piece, and no row overflows."""
    packed = packing.pack(np.array(lengths, np.int64), sequence_length)
    covered = [np.zeros(length, np.int64) for length in lengths]
    for document, begin, length in zip(packed.document, packed.begin, packed.length, strict=True):
        assert length >= 1
        assert begin + length <= lengths[document]
        covered[document][begin : begin + length] += 1
    assert all((count == 1).all() for count in covered)
    targets = np.add.reduceat(packed.length, packed.row_first)
    assert targets.max() <= sequence_length
    slots = packed.row_first.shape[0] * sequence_length
    assert slots == sum(lengths) + int((sequence_length - targets).sum())


@given(st.sampled_from([BestFit(), Concatenate()]), LENGTHS, st.integers(2, 70))
def test_packing_keeps_every_token(packing: Packing, lengths: list[int], sequence_length: int) -> None:
    check_packing(packing, lengths, sequence_length)


@given(PLANS, st.integers(1, 7))
def test_an_epoch_of_batches_balances_against_the_store(plan: Plan, micro_batch_size: int) -> None:
    targets = padding = 0
    for batch in evaluation_batches(plan.index, micro_batch_size):
        real = batch.loss_mask[: batch.row_count]
        targets += int(real.sum())
        padding += int((~real).sum())
        assert not batch.loss_mask[batch.row_count :].any()
    assert targets == plan.index.stored.token_count == plan.index.target_count
    assert padding == plan.index.padding_count
    assert targets + padding == plan.index.row_count * plan.sequence_length


class Truncating(BestFit):
    """Broken twin: what exceeds a row is dropped."""

    def pack(self, lengths: NDArray[np.int64], sequence_length: int, *, open_slots: int = 0) -> Packed:
        return BestFit().pack(np.minimum(lengths, sequence_length), sequence_length)


class Overflowing(BestFit):
    """Broken twin: rows are packed for one slot more than they have."""

    def pack(self, lengths: NDArray[np.int64], sequence_length: int, *, open_slots: int = 0) -> Packed:
        return BestFit().pack(lengths, sequence_length + 1)


class ForgetsTheRemainder(BestFit):
    """Broken twin: floor instead of ceiling when a long document is cut."""

    def pack(self, lengths: NDArray[np.int64], sequence_length: int, *, open_slots: int = 0) -> Packed:
        packed = BestFit().pack(lengths, sequence_length)
        kept = (packed.length == sequence_length) | (packed.begin == 0)
        places = np.cumsum(kept) - kept
        last: dict[str, Any] = {"row_first": np.unique(places[packed.row_first])}
        return replace(
            packed, document=packed.document[kept], begin=packed.begin[kept], length=packed.length[kept], **last
        )


@pytest.mark.parametrize("twin", [Truncating(), Overflowing(), ForgetsTheRemainder()])
def test_the_law_catches_a_packing_that_loses_tokens(twin: Packing) -> None:
    with pytest.raises(AssertionError):
        check_packing(twin, [5, 3, 9, 2, 20, 1, 7], 6)
