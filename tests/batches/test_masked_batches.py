"""Batches of stores with a loss mask: beside stores without one, in used memory, damaged, and without any target."""

from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from batchwright.adapters.micro_batches import MicroBatches
from batchwright.batches.buffers import new_arrays
from batchwright.batches.collate import Collator
from batchwright.batches.evaluation import evaluation_batches
from batchwright.batches.geometry import BatchGeometry
from batchwright.batches.loader import BatchLoader
from batchwright.engines.serial import SerialExecutor
from batchwright.foundation.array_file import HEADER_BYTES
from batchwright.foundation.compiled import plain
from batchwright.foundation.errors import CorruptDataError, InputError
from batchwright.sequences import index_parts
from batchwright.sequences.index import SequenceIndex
from batchwright.sequences.index_build import build_index
from batchwright.sequences.loss_masks import count_flags
from batchwright.sequences.packing import BestFit, StartAligned
from batchwright.sequences.plan import Plan
from batchwright.sequences.sampler import PlacedRows
from batchwright.sequences.stored_tokens import StoredTokens
from batchwright.tokens.shard import FIRST_ITEM
from tests.batches.test_collate import LENGTHS, check_batch, flip, placed, row_reference
from tests.sequences.small_store import SmallStore, write_store

T = 6


def flags_of(lengths: list[int], seed: int = 0) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 2, length).tolist() for length in lengths]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> SmallStore:
    return write_store(tmp_path_factory.mktemp("store"), LENGTHS, shard_documents=4, masks=flags_of(LENGTHS))


@pytest.mark.parametrize("dtype", ["int64", "uint16"])
def test_every_slot_is_what_the_segment_rule_and_the_mask_say(store: SmallStore, dtype: str) -> None:
    index = build_index(store, sequence_length=T)
    assert index.masked
    collator, arrays = Collator(index), new_arrays(3, T, dtype)
    for first in range(0, index.row_count, 3):
        rows = np.arange(first, min(first + 3, index.row_count))
        check_batch(collator.collate(arrays, placed(rows, first)), store, index, rows.tolist())


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> SmallStore:
    """A store without a mask."""
    return write_store(tmp_path_factory.mktemp("beside"), LENGTHS, shard_documents=5, seed=1)


@given(chosen=st.lists(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 12)), max_size=5), min_size=1, max_size=6))
@settings(max_examples=30)
def test_rows_with_and_without_a_mask_follow_each_other_in_the_same_memory(
    chosen: list[list[tuple[int, int]]], store: SmallStore, beside: SmallStore
) -> None:
    stores = store, beside
    indexes = [build_index(each, sequence_length=9) for each in stores]
    collator, arrays = Collator(*indexes), new_arrays(5, 9, "int64")
    for rows in chosen:
        real = [(stream, row % indexes[stream].row_count) for stream, row in rows]
        table = np.array([(n, stream, row, 0) for n, (stream, row) in enumerate(real)], np.int64).reshape(-1, 4)
        batch = collator.collate(arrays, PlacedRows(table))
        for b, (stream, row) in enumerate(real):
            wanted = row_reference(stores[stream], indexes[stream], row)
            assert batch.inputs[b].tolist() == wanted["inputs"]
            assert batch.loss_mask[b].tolist() == wanted["mask"]
        assert not batch.loss_mask[len(real) :].any()
        assert batch.target_count == batch.loss_mask.sum()


@given(st.lists(st.integers(0, 3), max_size=700))
@settings(max_examples=40)
def test_flags_are_counted_as_python_counts_them(flags: list[int]) -> None:
    array = np.array(flags, np.uint8)
    assert count_flags(array) == plain(count_flags)(array) == sum(flag != 0 for flag in flags)


def test_evaluation_sees_every_unmasked_token_once(store: SmallStore) -> None:
    index = build_index(store, sequence_length=T)
    assert sum(batch.target_count for batch in evaluation_batches(index, 4)) == sum(map(sum, store.masks()))


def test_the_certificate_names_the_mask(store: SmallStore) -> None:
    loader = BatchLoader(Plan.of(build_index(store, sequence_length=T)), geometry_of(4))
    step, by_hand = loader.step_at(1), 0
    for batch in step:
        for b, position in enumerate(batch.positions.tolist()):
            ids = batch.inputs[b].astype("<u4").tobytes() + batch.targets[b].astype("<u4").tobytes()
            record = position.to_bytes(8, "little") + ids + batch.loss_mask[b].astype("u1").tobytes()
            by_hand += xxhash.xxh3_64_intdigest(record)
    assert step.certificate == by_hand % 2**64


def geometry_of(global_batch_size: int) -> BatchGeometry:
    return BatchGeometry(global_batch_size=global_batch_size, micro_batch_size=2, sequence_length=T)


@pytest.mark.parametrize("prefetch", [0, 2])
def test_a_step_without_a_target_is_refused_with_its_positions_and_documents(tmp_path: Path, prefetch: int) -> None:
    masks = [[1] * 6, [0] * 6, [0] * 6, *[[1] * 6] * 5]
    index = build_index(write_store(tmp_path, [6] * 8, masks=masks), sequence_length=T)
    loader = BatchLoader(Plan.of(index), geometry_of(1), prefetch=prefetch)

    def acknowledged() -> Iterator[None]:
        for step in loader:
            for _ in step:
                pass
            loader.acknowledge(step)
            yield

    empty = [number for number in range(8) if loader.step_at(number).targets == 0]
    assert len(empty) == 2
    with pytest.raises(InputError, match=rf"position {empty[0]} has no target.*\(train [12]\)") as caught:
        list(islice(acknowledged(), 8))
    assert str(tmp_path) in str(caught.value)
    assert loader.position == empty[0]
    with pytest.raises(InputError, match="has no target"):
        list(islice(MicroBatches(BatchLoader(Plan.of(index), geometry_of(1))), 8))
    assert not next(loader.step_at(empty[0])).loss_mask.any(), "to look at it is allowed"
    wide = BatchLoader(Plan.of(index), geometry_of(8), prefetch=prefetch)
    assert [step.targets for step in islice(wide, 3)] == [36] * 3


def test_a_flipped_bit_of_the_mask_is_found_when_it_is_first_touched(tmp_path: Path) -> None:
    store = write_store(tmp_path, LENGTHS, shard_documents=4, masks=flags_of(LENGTHS))
    index = build_index(store, sequence_length=T)
    flip(tmp_path / "00001.mask", HEADER_BYTES + FIRST_ITEM)
    again = write_store_opened(store)
    opened = SequenceIndex.open(index.directory, StoredTokens.of(again))
    rows = np.arange(opened.row_count)
    with pytest.raises(CorruptDataError, match=r"00001\.mask"):
        Collator(opened).collate(new_arrays(rows.shape[0], T, "int64"), placed(rows, 0))
    with pytest.raises(CorruptDataError, match=r"00001\.mask"):
        build_index(again, sequence_length=T + 1)


def write_store_opened(store: SmallStore) -> SmallStore:
    """The same files, opened anew: nothing is checked yet."""
    shards = tuple(
        replace(shard, mask=None if shard.mask is None else type(shard.mask).open(shard.mask.path, "mask", "<u1"))
        for shard in store.train.shards
    )
    return replace(store, train=replace(store.train, shards=shards))


def test_indexes_of_stores_without_a_mask_are_byte_for_byte_what_they_were(tmp_path: Path) -> None:
    store = write_store(tmp_path, LENGTHS, shard_documents=4)
    for packing, begins in (
        (BestFit(), ("85b708dc8ceb67b6", "c658cb8b80dcbdac")),
        (StartAligned(buffer_documents=3), ("e8b255d48dc1c8ed", "9ce7920c5b7bd4d8")),
    ):
        index = build_index(store, sequence_length=6, packing=packing)
        content = b"".join(path.read_bytes() for path in sorted(index.directory.iterdir()))
        assert (index.fingerprint[:16], sha256(content).hexdigest()[:16]) == begins


def test_an_index_made_before_masks_were_read_still_counts_every_token(tmp_path: Path) -> None:
    store = write_store(tmp_path, LENGTHS, shard_documents=4, masks=flags_of(LENGTHS))
    blind = replace(store, train=replace(store.train, shards=tuple(replace(s, mask=None) for s in store.train.shards)))
    old = build_index(blind, sequence_length=T)
    opened = SequenceIndex.open(old.directory, StoredTokens.of(store))
    rows = np.arange(opened.row_count)
    batch = Collator(opened).collate(new_arrays(rows.shape[0], T, "int64"), placed(rows, 0))
    assert batch.target_count == opened.target_count == sum(LENGTHS)
    new = build_index(store, sequence_length=T)
    assert new.fingerprint != old.fingerprint
    with pytest.raises(InputError, match="the store here has none"):
        SequenceIndex.open(new.directory, StoredTokens.of(blind))


def test_shards_of_which_some_have_a_mask_are_refused(store: SmallStore) -> None:
    first, *others = store.train.shards
    shards = (replace(first, mask=None), *others)
    with pytest.raises(CorruptDataError, match="3 of 4 shards have a loss mask"):
        StoredTokens.of(replace(store, train=replace(store.train, shards=shards)))


def test_parts_and_one_process_count_the_same_targets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_parts, "WINDOWS_PER_PART", 1)
    store = write_store(tmp_path, LENGTHS, shard_documents=4, masks=flags_of(LENGTHS))
    packing = BestFit(window_documents=4, block_documents=2)
    whole = build_index(store, sequence_length=T, packing=packing)
    parts = build_index(
        store, sequence_length=T, packing=packing, directory=tmp_path / "parts", executor=SerialExecutor()
    )
    assert parts.counts == whole.counts
    for path in whole.directory.iterdir():
        assert (parts.directory / path.name).read_bytes() == path.read_bytes()
