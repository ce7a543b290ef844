"""Conservation of tokens: stored = targets in rows + dropped, by reason; slots = targets + padding."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from batchwright.batches.evaluation import evaluation_batches
from batchwright.foundation.errors import CorruptDataError
from batchwright.sequences.ledger import Bookkeeper, Ledger
from batchwright.sequences.packing import BestFit, BestFitTruncated, Concatenate, Packed, Packing, StartAligned
from batchwright.sequences.plan import Plan
from tests.laws.streams import DROPPING_PLANS, PLANS

LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=40)


def covered_by(packed: Packed, lengths: list[int]) -> list[NDArray[np.int64]]:
    """In how many pieces each token of each document lies."""
    covered = [np.zeros(length, np.int64) for length in lengths]
    for document, begin, length in zip(packed.document, packed.begin, packed.length, strict=True):
        assert length >= 1
        assert begin + length <= lengths[document]
        covered[document][begin : begin + length] += 1
    return covered


def check_slots(packed: Packed, targets_expected: int, sequence_length: int) -> None:
    """No row overflows, and what is no target is padding."""
    targets = np.add.reduceat(packed.length, packed.row_first)
    assert targets.max() <= sequence_length
    slots = packed.row_first.shape[0] * sequence_length
    assert slots == targets_expected + int((sequence_length - targets).sum())


def check_packing(packing: Packing, lengths: list[int], sequence_length: int) -> None:
    """Every token of every document lies in exactly one piece, and no row overflows."""
    packed = packing.pack(np.array(lengths, np.int64), sequence_length)
    assert all((count == 1).all() for count in covered_by(packed, lengths))
    check_slots(packed, sum(lengths), sequence_length)


def ledger_of(packing: Packing, lengths: list[int], sequence_length: int, books: type[Bookkeeper]) -> Ledger:
    keeper, documents = books(packing, sequence_length), np.array(lengths, np.int64)
    keeper.enter(documents, packing.pack(documents, sequence_length))
    return keeper.ledger()


def check_dropping(
    packing: Packing, lengths: list[int], sequence_length: int, books: type[Bookkeeper] = Bookkeeper
) -> None:
    """A document keeps its beginning and loses its end or nothing; what it loses is counted under the policy's
    reason."""
    packed = packing.pack(np.array(lengths, np.int64), sequence_length)
    covered = covered_by(packed, lengths)
    for count in covered:
        kept = int(count.sum())
        assert kept >= 1
        assert (count[:kept] == 1).all()
    targets = sum(int(count.sum()) for count in covered)
    check_slots(packed, targets, sequence_length)
    ledger = ledger_of(packing, lengths, sequence_length, books)
    ledger.check()
    assert ledger.dropped == {packing.drops: sum(lengths) - targets}
    assert ledger.stored == sum(lengths)
    if packing.drops == "truncated":
        assert targets == sum(min(length, sequence_length) for length in lengths)
    else:
        assert ledger.padding < sequence_length


@given(st.sampled_from([BestFit(), Concatenate()]), LENGTHS, st.integers(2, 70))
def test_packing_keeps_every_token(packing: Packing, lengths: list[int], sequence_length: int) -> None:
    check_packing(packing, lengths, sequence_length)


DROPPING = st.one_of(
    st.just(BestFitTruncated()), st.builds(lambda n: StartAligned(buffer_documents=n), st.integers(1, 12))
)


@given(DROPPING, LENGTHS, st.integers(2, 70))
def test_packing_counts_every_token_that_it_drops(packing: Packing, lengths: list[int], sequence_length: int) -> None:
    check_dropping(packing, lengths, sequence_length)


@given(
    st.sampled_from([BestFit(), Concatenate(), BestFitTruncated(), StartAligned(buffer_documents=50)]),
    st.lists(st.integers(1, 300_000), min_size=1, max_size=200),
    st.sampled_from([2**k for k in range(7, 18)]),
)
@settings(max_examples=40)
def test_the_ledger_closes_for_rows_from_128_to_131072(
    packing: Packing, lengths: list[int], sequence_length: int
) -> None:
    ledger = ledger_of(packing, lengths, sequence_length, Bookkeeper)
    ledger.check()
    assert ledger.stored == sum(lengths)
    assert packing.drops is not None or ledger.targets == sum(lengths)
    if isinstance(packing, BestFit):
        assert ledger.documents_cut_needlessly == 0


@given(st.one_of(PLANS, DROPPING_PLANS), st.integers(1, 7))
def test_an_epoch_of_batches_balances_against_the_store(plan: Plan, micro_batch_size: int) -> None:
    targets = padding = 0
    for batch in evaluation_batches(plan.index, micro_batch_size):
        real = batch.loss_mask[: batch.row_count]
        targets += int(real.sum())
        padding += int((~real).sum())
        assert not batch.loss_mask[batch.row_count :].any()
    assert targets == plan.index.target_count
    assert plan.index.stored.token_count == targets + sum(plan.index.counts["dropped"].values())
    assert plan.index.packing.drops is not None or plan.index.stored.token_count == targets
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


class KeepsTheEnd(StartAligned):
    """Broken twin: a cropped document loses its beginning."""

    def pack(
        self, lengths: NDArray[np.int64], sequence_length: int, *, open_slots: int = 0, last: bool = True
    ) -> Packed:
        packed = StartAligned(buffer_documents=2).pack(lengths, sequence_length)
        return replace(packed, begin=lengths[packed.document] - packed.length)


class GoesOn(StartAligned):
    """Broken twin: what a crop leaves over is laid into one row more, though it is counted as dropped."""

    def pack(
        self, lengths: NDArray[np.int64], sequence_length: int, *, open_slots: int = 0, last: bool = True
    ) -> Packed:
        packed = StartAligned(buffer_documents=2).pack(lengths, sequence_length)
        first = packed.length[:1]
        return replace(
            packed,
            document=np.append(packed.document, packed.document[0]),
            begin=np.append(packed.begin, 0),
            length=np.append(packed.length, first),
            row_first=np.append(packed.row_first, packed.document.shape[0]),
        )


class CutsOneTokenTooMuch(BestFitTruncated):
    """Broken twin: documents are truncated to one token less than a row holds."""

    def pack(
        self, lengths: NDArray[np.int64], sequence_length: int, *, open_slots: int = 0, last: bool = True
    ) -> Packed:
        return BestFitTruncated().pack(np.minimum(lengths, sequence_length - 1), sequence_length)


class ForgetsWhatWasDropped(Bookkeeper):
    """Broken twin: a dropped token is as if it had never been stored."""

    def ledger(self) -> Ledger:
        honest = super().ledger()
        return replace(honest, stored=honest.targets, dropped=dict.fromkeys(honest.dropped, 0))


@pytest.mark.parametrize("twin", [KeepsTheEnd(), GoesOn(), CutsOneTokenTooMuch()])
def test_the_law_catches_a_packing_that_drops_what_it_should_not(twin: Packing) -> None:
    with pytest.raises((AssertionError, CorruptDataError)):
        check_dropping(twin, [5, 3, 9, 2, 20, 1, 7], 6)


def test_the_law_catches_a_ledger_that_forgets() -> None:
    check_dropping(BestFitTruncated(), [5, 3, 9, 2, 20, 1, 7], 6)
    with pytest.raises(AssertionError):
        check_dropping(BestFitTruncated(), [5, 3, 9, 2, 20, 1, 7], 6, ForgetsWhatWasDropped)
