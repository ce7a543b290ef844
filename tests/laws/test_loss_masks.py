"""Where a store has a loss mask: every token that it names is a target once per epoch, every other one is laid once and
is none; stored = targets + masked + dropped, slots = targets + masked + padding; and a step's targets are those that
were promised before its first micro-batch."""

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from batchwright.batches.batch import Batch
from batchwright.batches.geometry import BatchGeometry
from batchwright.batches.loader import BatchLoader
from batchwright.foundation.array_file import ArrayFile, ArrayFileWriter
from batchwright.foundation.errors import CorruptDataError
from batchwright.sequences.index_build import build_index
from batchwright.sequences.loss_masks import LossMasks
from batchwright.sequences.packing import BestFit, BestFitTruncated, Concatenate, Packing, StartAligned
from batchwright.sequences.plan import Plan
from batchwright.sequences.verification import verify_indexes
from tests.sequences.small_store import EOT, SmallStore, write_store


@pytest.fixture(autouse=True, scope="module")
def _without_syncing() -> Iterator[None]:
    """A law draws hundreds of stores; that they survive a power cut is not what it is about."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """Documents with a flag per token, and how they are laid."""

    masks: list[list[int]]
    shard_documents: int
    packing: Packing
    sequence_length: int

    def store(self, home: Path) -> SmallStore:
        lengths = [len(mask) for mask in self.masks]
        return write_store(home, lengths, shard_documents=self.shard_documents, masks=self.masks)


PACKINGS: tuple[Packing, ...] = (
    BestFit(window_documents=8, block_documents=2),
    BestFit(),
    Concatenate(),
    BestFitTruncated(window_documents=8, block_documents=2),
    StartAligned(buffer_documents=3, block_documents=2),
)
# Any mask at all, and those that people have: a prompt left out, whole documents left out, nothing left out.
FLAGS = st.one_of(
    st.lists(st.integers(0, 1), min_size=1, max_size=40),
    st.builds(lambda out, kept: [0] * out + [1] * kept, st.integers(0, 40), st.integers(1, 40)),
    st.builds(lambda flag, length: [flag] * length, st.integers(0, 1), st.integers(1, 90)),
)
DRAWN = st.builds(
    Drawn,
    masks=st.lists(FLAGS, min_size=1, max_size=16),
    shard_documents=st.sampled_from([1, 6, 1_000]),
    packing=st.sampled_from(PACKINGS),
    sequence_length=st.sampled_from([2, 5, 13, 40, 400]),
)
EXAMPLE = Drawn(
    masks=[[0, 0, 0, 1, 1], [1, 1, 1], [0] * 9, [0, 1], [0, 1] * 10, [1], [0] * 5 + [1, 1]],
    shard_documents=3,
    packing=BestFit(),
    sequence_length=6,
)

Laid = Counter[tuple[int, int, int, bool]]


def expected(store: SmallStore) -> Laid:
    """(document, input, next token, whether it is a target) of every stored token."""
    return Counter(
        (number, before, token, flag == 1)
        for number, (document, mask) in enumerate(zip(store.documents(), store.masks(), strict=True))
        for before, token, flag in zip([EOT, *document], document, mask, strict=False)
    )


def laid(batch: Batch) -> Laid:
    """The same of every slot of a batch that is not padding."""
    filled = batch.documents >= 0
    assert not batch.loss_mask[~filled].any()
    parts = batch.documents, batch.inputs, batch.targets, batch.loss_mask
    return Counter(zip(*(part[filled].tolist() for part in parts), strict=True))


def loader_over(store: SmallStore, drawn: Drawn, global_batch_size: int, micro_batch_size: int) -> BatchLoader:
    plan = Plan.of(build_index(store, sequence_length=drawn.sequence_length, packing=drawn.packing))
    geometry = BatchGeometry(
        global_batch_size=min(global_batch_size, plan.index.row_count),
        micro_batch_size=micro_batch_size,
        sequence_length=drawn.sequence_length,
    )
    return BatchLoader(plan, geometry, ring=1)


def check_epoch(loader: BatchLoader, store: SmallStore) -> None:
    """One epoch of steps against the store's documents and the index's ledger."""
    index = loader.plan.index
    seen: Laid = Counter()
    for number in range(-(-index.row_count // loader.geometry.global_batch_size)):
        step, targets = loader.step_at(number), 0
        for batch in step:
            assert batch.target_count == batch.loss_mask.sum()
            targets += batch.target_count
            first_epoch = batch.epochs == 0
            kept = replace(batch, loss_mask=batch.loss_mask.copy(), rows=np.where(first_epoch, batch.rows, -1))
            kept.loss_mask[~first_epoch] = False
            seen += laid(kept)
        assert step.targets == targets
    counts, dropped = index.counts, sum(index.counts["dropped"].values())
    stored = expected(store)
    assert seen <= stored
    assert seen.total() == stored.total() - dropped
    targets = sum(count for (*_, target), count in seen.items() if target)
    assert counts["targets"] == index.target_count == targets
    assert counts["masked"] == index.masked_count == seen.total() - targets
    assert counts["stored"] == counts["targets"] + counts["masked"] + dropped
    assert counts["slots"] == counts["targets"] + counts["masked"] + counts["padding"]


@given(DRAWN, st.integers(1, 7), st.integers(1, 4))
@settings(max_examples=50)
def test_every_unmasked_token_is_a_target_once_and_no_other_is(
    drawn: Drawn, global_batch_size: int, micro_batch_size: int
) -> None:
    with tempfile.TemporaryDirectory() as home:
        store = drawn.store(Path(home))
        loader = loader_over(store, drawn, global_batch_size, micro_batch_size)
        check_epoch(loader, store)
        assert verify_indexes(store) == []


@given(DRAWN)
@settings(max_examples=40)
def test_targets_of_segments_are_those_of_a_count_in_numpy(drawn: Drawn) -> None:
    with tempfile.TemporaryDirectory() as home:
        index = build_index(drawn.store(Path(home)), sequence_length=drawn.sequence_length, packing=drawn.packing)
        flags = np.concatenate([mask.array for mask in index.stored.masks]).astype(np.int64)
        before = np.concatenate([[0], np.cumsum(flags)])
        starts, lengths = index.starts.array, index.lengths.array
        masks = LossMasks(index.stored.masks)
        assert masks.targets_in(starts, lengths).tolist() == (before[starts + lengths] - before[starts]).tolist()


def example(home: Path) -> tuple[BatchLoader, SmallStore]:
    store = EXAMPLE.store(home)
    return loader_over(store, EXAMPLE, 3, 2), store


def test_the_law_catches_batches_that_do_not_read_the_mask(tmp_path: Path) -> None:
    loader, store = example(tmp_path)
    check_epoch(loader, store)
    loader._collator._stored_masks = None
    with pytest.raises(AssertionError):
        check_epoch(loader, store)


def test_the_law_catches_a_mask_that_goes_with_the_inputs(tmp_path: Path) -> None:
    """Broken twin: the flag of a slot is its input's, one token too early."""
    store = EXAMPLE.store(tmp_path)
    early: list[ArrayFile] = []
    for number, shard in enumerate(store.train.shards):
        assert shard.mask is not None
        with ArrayFileWriter(tmp_path / f"early-{number}", "mask", "<u1") as writer:
            writer.append(np.concatenate([shard.mask.array[:1], shard.mask.array[:-1]]))
        early.append(ArrayFile.open(tmp_path / f"early-{number}", "mask", "<u1"))
    shards = tuple(replace(shard, mask=mask) for shard, mask in zip(store.train.shards, early, strict=True))
    twin = replace(store, fingerprint="twin", train=replace(store.train, shards=shards))
    with pytest.raises(AssertionError):
        check_epoch(loader_over(twin, EXAMPLE, 3, 2), store)


@pytest.mark.parametrize("wrong", [lambda lengths: lengths, lambda lengths: np.zeros_like(lengths)])
def test_an_index_that_counts_other_targets_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: Callable[[NDArray[np.int32]], NDArray[np.int32]]
) -> None:
    monkeypatch.setattr(LossMasks, "targets_in", lambda self, starts, lengths: wrong(lengths))
    with pytest.raises(CorruptDataError, match="the loss masks name"):
        build_index(EXAMPLE.store(tmp_path), sequence_length=6)


def test_an_index_of_targets_that_are_no_longer_so_is_found_by_verify(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = EXAMPLE.store(tmp_path)
    build_index(store, sequence_length=6)
    assert verify_indexes(store) == []
    honest = LossMasks.targets_in
    monkeypatch.setattr(LossMasks, "targets_in", lambda self, starts, lengths: honest(self, starts - 1, lengths))
    assert "add up" in str(verify_indexes(store)[0])
