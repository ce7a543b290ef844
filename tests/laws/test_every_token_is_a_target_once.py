"""Every stored token, each document's closing `<endoftext>` too, is a target exactly once per epoch, and its input is
the token before it in its document, `<endoftext>` for the first. Packings that drop tokens: at most once, and those
that are not are as many as the index says are dropped."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from batchwright.batches.geometry import BatchGeometry
from batchwright.batches.loader import BatchLoader
from batchwright.sequences.index_build import build_index
from batchwright.sequences.packing import BestFit, Packed, Packing, StartAligned
from batchwright.sequences.plan import Plan
from batchwright.sequences.sampler import PlacedRows, Sampler
from tests.laws.streams import CORPORA, DROPPING_PLANS, PLANS, store_of
from tests.sequences.small_store import EOT, SmallStore

Seen = Counter[tuple[int, int, int]]


def expected(store: SmallStore) -> Seen:
    """(document, input, target) of every stored token."""
    return Counter(
        (number, before, token)
        for number, document in enumerate(store.documents())
        for before, token in zip([EOT, *document], document, strict=False)
    )


def seen_in_epoch(loader: BatchLoader, epoch: int) -> Seen:
    """(document, input, target) of every slot of an epoch that is trained on."""
    rows = loader.plan.index.row_count
    size = loader.geometry.global_batch_size
    seen: Seen = Counter()
    for number in range(epoch * rows // size, -(-(epoch + 1) * rows // size)):
        for batch in loader.step_at(number):
            mask = batch.loss_mask & (batch.epochs == epoch)[:, None]
            parts = (batch.documents[mask].tolist(), batch.inputs[mask].tolist(), batch.targets[mask].tolist())
            seen.update(zip(*parts, strict=True))
    return seen


@given(PLANS, st.integers(1, 9), st.integers(1, 4), st.integers(0, 3))
def test_every_stored_token_is_a_target_once_per_epoch(
    plan: Plan, global_batch_size: int, micro_batch_size: int, epoch: int
) -> None:
    loader = loader_over(plan, global_batch_size, micro_batch_size)
    assert seen_in_epoch(loader, epoch) == expected(stored_behind(plan))


@given(DROPPING_PLANS, st.integers(1, 9), st.integers(1, 4), st.integers(0, 3))
def test_every_stored_token_is_a_target_once_or_counted_as_dropped(
    plan: Plan, global_batch_size: int, micro_batch_size: int, epoch: int
) -> None:
    check_kept(loader_over(plan, global_batch_size, micro_batch_size), epoch, stored_behind(plan))


def check_kept(loader: BatchLoader, epoch: int, store: SmallStore) -> None:
    """What is seen is stored, once; the beginning of every document is among it; the rest is counted."""
    seen, stored = seen_in_epoch(loader, epoch), expected(store)
    assert seen <= stored
    firsts = Counter((number, EOT, document[0]) for number, document in enumerate(store.documents()))
    assert firsts <= seen
    assert stored.total() == seen.total() + sum(loader.plan.index.counts["dropped"].values())


def loader_over(plan: Plan, global_batch_size: int, micro_batch_size: int) -> BatchLoader:
    assume(global_batch_size <= plan.index.row_count)
    geometry = BatchGeometry(
        global_batch_size=global_batch_size,
        micro_batch_size=micro_batch_size,
        sequence_length=plan.sequence_length,
    )
    return BatchLoader(plan, geometry)


def stored_behind(plan: Plan) -> SmallStore:
    corpus = next(n for n in range(len(CORPORA)) if store_of(n).fingerprint == plan.index.stored.fingerprint)
    return store_of(corpus)


class SeamOffByOne(BestFit):
    """Broken twin: the second piece of a cut document begins one token early, so one is repeated, one lost."""

    def pack(self, lengths: NDArray[np.int64], sequence_length: int, *, open_slots: int = 0) -> Packed:
        packed = BestFit().pack(lengths, sequence_length)
        return replace(packed, begin=np.where(packed.begin > 0, packed.begin - 1, packed.begin))


class NeighbourDocument(BestFit):
    """Broken twin: a piece is taken from the document after its own."""

    def pack(self, lengths: NDArray[np.int64], sequence_length: int, *, open_slots: int = 0) -> Packed:
        packed = BestFit().pack(lengths, sequence_length)
        document = packed.document.copy()
        document[0] = document[0] - 1 if document[0] else 1
        return replace(packed, document=document)


class KeepsTheEnd(StartAligned):
    """Broken twin: a cropped document loses its beginning."""

    def pack(
        self, lengths: NDArray[np.int64], sequence_length: int, *, open_slots: int = 0, last: bool = True
    ) -> Packed:
        packed = super().pack(lengths, sequence_length, open_slots=open_slots, last=last)
        return replace(packed, begin=lengths[packed.document] - packed.length)


class SkipsTheLastRow(Sampler):
    """Broken twin: an epoch is one row shorter than it is."""

    def place(self, spans: list[tuple[int, int]]) -> PlacedRows:
        placed = super().place(spans)
        placed.rows[:] = np.minimum(placed.rows, self.plan.index.row_count - 2)
        return placed


def loader_of(packing: Packing, directory: Path) -> BatchLoader:
    plan = Plan.of(build_index(store_of(2), sequence_length=8, packing=packing, directory=directory))
    return BatchLoader(plan, BatchGeometry(global_batch_size=4, micro_batch_size=4, sequence_length=8))


@pytest.mark.parametrize("twin", [SeamOffByOne(), NeighbourDocument()])
def test_the_law_catches_a_packing_that_repeats_and_loses(twin: Packing, tmp_path: Path) -> None:
    assert seen_in_epoch(loader_of(BestFit(), tmp_path / "right"), 1) == expected(store_of(2))
    assert seen_in_epoch(loader_of(twin, tmp_path / "wrong"), 1) != expected(store_of(2))


def test_the_law_catches_a_crop_from_the_wrong_side(tmp_path: Path) -> None:
    check_kept(loader_of(StartAligned(buffer_documents=3), tmp_path / "right"), 1, store_of(2))
    with pytest.raises(AssertionError):
        check_kept(loader_of(KeepsTheEnd(buffer_documents=3), tmp_path / "wrong"), 1, store_of(2))


def test_the_law_catches_an_order_that_leaves_a_row_out(tmp_path: Path) -> None:
    loader = loader_of(BestFit(), tmp_path)
    loader._sampler = SkipsTheLastRow(loader.plan)
    assert seen_in_epoch(loader, 0) != expected(store_of(2))
