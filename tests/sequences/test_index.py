"""The sequence index on disk: complete, reused, tied to its store, whole or absent."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import batchwright.sequences.index_build as index_build
from batchwright.foundation.array_file import HEADER_BYTES, ArrayFile
from batchwright.foundation.errors import CorruptDataError, InputError, LockedError
from batchwright.foundation.files import WriterLock
from batchwright.sequences.index import SequenceIndex
from batchwright.sequences.index_build import build_index
from batchwright.sequences.packing import BestFit, Concatenate, Packing
from batchwright.sequences.stored_tokens import StoredTokens
from batchwright.sequences.windows import windows
from tests.sequences.small_store import SmallShard, SmallStore, write_store

POLICIES: list[Packing] = [BestFit(window_documents=8, block_documents=2), BestFit(), Concatenate()]
LENGTHS = [5, 3, 9, 2, 20, 1, 7, 4, 4, 13, 6, 2, 8, 31]


@pytest.fixture
def store(tmp_path: Path) -> SmallStore:
    return write_store(tmp_path, LENGTHS, shard_documents=4)


@pytest.mark.parametrize("packing", POLICIES)
@pytest.mark.parametrize("sequence_length", [2, 6, 16, 1000])
def test_every_token_is_in_one_segment_and_the_ledger_balances(
    store: SmallStore, packing: Packing, sequence_length: int
) -> None:
    index = build_index(store, sequence_length=sequence_length, packing=packing)
    covered = np.concatenate(
        [np.arange(a, a + n) for a, n in zip(index.starts.array, index.lengths.array, strict=True)]
    )
    guards = np.cumsum([0, *[shard.tokens.count for shard in store.train.shards]])[:-1]
    everything = np.setdiff1d(np.arange(sum(shard.tokens.count for shard in store.train.shards)), guards)
    assert np.array_equal(np.sort(covered), everything)
    assert index.row_targets.array.sum() == sum(LENGTHS) == index.target_count
    assert index.counts["slots"] == index.counts["targets"] + index.counts["padding"]
    assert index.row_firsts.array[0] == 0
    assert index.row_firsts.array[-1] == index.segment_count
    sums = np.add.reduceat(index.lengths.array, index.row_firsts.array[:-1])
    assert np.array_equal(sums, index.row_targets.array)
    assert sums.max() <= sequence_length


def test_segments_never_cross_a_document(store: SmallStore) -> None:
    index = build_index(store, sequence_length=6, packing=Concatenate())
    last = index.starts.array + index.lengths.array - 1
    table = index.document_table
    assert np.array_equal(table.documents_at(index.starts.array), table.documents_at(last))


def test_windows_draw_every_block_once_in_an_order_that_the_seed_names() -> None:
    packing = BestFit(window_documents=6, block_documents=2)
    drawn = [np.concatenate(list(windows(packing, 101, seed))) for seed in (0, 1)]
    assert all(np.array_equal(np.sort(order), np.arange(51)) for order in drawn)
    assert not np.array_equal(*drawn)
    assert np.array_equal(np.concatenate(list(windows(Concatenate(), 101, 0))), [0])


def test_building_again_opens_what_is_there(store: SmallStore, monkeypatch: pytest.MonkeyPatch) -> None:
    first = build_index(store, sequence_length=6)
    monkeypatch.setattr(index_build, "_build", lambda *_: pytest.fail("built twice"))
    assert build_index(store, sequence_length=6).fingerprint == first.fingerprint


def test_equal_input_gives_equal_bytes(tmp_path: Path) -> None:
    bytes_of: list[dict[str, bytes]] = []
    for name in ("a", "b"):
        index = build_index(write_store(tmp_path / name, LENGTHS), sequence_length=6)
        bytes_of.append({path.name: path.read_bytes() for path in index.directory.iterdir()})
    assert bytes_of[0] == bytes_of[1]


def test_a_crash_while_building_leaves_no_index_and_the_next_build_succeeds(
    store: SmallStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(index_build, "_write_manifest", crash)
        with pytest.raises(KeyboardInterrupt):
            build_index(store, sequence_length=6)
    assert not list(store.directory.glob("sequences/*/manifest.json"))
    index = build_index(store, sequence_length=6)
    assert [path.name for path in (store.directory / "sequences").iterdir() if path.is_dir()] == [index.directory.name]


def test_two_builders_do_not_write_over_each_other(store: SmallStore) -> None:
    with WriterLock(store.directory / "sequences"), pytest.raises(LockedError, match=str(os.getpid())):
        build_index(store, sequence_length=6)


def test_an_index_of_another_store_is_refused_with_both_names(store: SmallStore, tmp_path: Path) -> None:
    index = build_index(store, sequence_length=6)
    other = write_store(tmp_path / "other", [3, 4])
    with pytest.raises(InputError, match=f"{store.fingerprint}.*{other.fingerprint}"):
        SequenceIndex.open(index.directory, StoredTokens.of(other))


def test_a_changed_store_gets_an_index_of_its_own(tmp_path: Path) -> None:
    before = build_index(write_store(tmp_path, LENGTHS), sequence_length=6)
    after = build_index(write_store(tmp_path, [*LENGTHS, 4]), sequence_length=6)
    assert before.directory != after.directory


@pytest.mark.parametrize("damage", ["manifest", "exchange", "cut", "missing"])
def test_a_damaged_index_is_named(store: SmallStore, damage: str) -> None:
    index = build_index(store, sequence_length=6)
    other = build_index(store, sequence_length=7)
    file = index.directory / "segments.length"
    manifest = index.directory / "manifest.json"
    if damage == "manifest":
        value = json.loads(manifest.read_text())
        value["counts"]["rows"] += 1
        manifest.write_text(json.dumps(value))
    elif damage == "exchange":
        file.write_bytes((other.directory / file.name).read_bytes())
    elif damage == "cut":
        file.write_bytes(file.read_bytes()[:-1])
    else:
        file.unlink()
    with pytest.raises((CorruptDataError, InputError)) as error:
        SequenceIndex.open(index.directory, StoredTokens.of(store))
    assert index.directory.name in str(error.value)


def test_damaged_document_ends_are_found_before_they_are_believed(store: SmallStore) -> None:
    index = build_index(store, sequence_length=6)
    file = store.directory / "00000.documents"
    content = bytearray(file.read_bytes())
    content[HEADER_BYTES] ^= 1
    file.write_bytes(content)
    damaged = SmallShard(tokens=store.train.shards[0].tokens, documents=ArrayFile.open(file, "documents", "<i8"))
    split = replace(store.train, shards=(damaged, *store.train.shards[1:]))
    opened = SequenceIndex.open(index.directory, StoredTokens.of(replace(store, train=split)))
    with pytest.raises(CorruptDataError, match=r"00000\.documents"):
        opened.document_table.documents_at(opened.starts.array)
    with pytest.raises(CorruptDataError, match=r"00000\.documents"):
        build_index(replace(store, train=split), sequence_length=7)


def test_an_empty_split_is_refused(store: SmallStore) -> None:
    with pytest.raises(InputError, match="holds no documents"):
        build_index(store, split="validation", sequence_length=6)


def test_progress_ends_at_all_documents(store: SmallStore) -> None:
    seen: list[tuple[int, int]] = []
    packing = BestFit(window_documents=4, block_documents=2)
    build_index(store, sequence_length=6, packing=packing, progress=lambda done, all_: seen.append((done, all_)))
    assert seen[-1] == (len(LENGTHS), len(LENGTHS))
    assert len(seen) == 4
