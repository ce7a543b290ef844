"""The sequence index on disk: complete, reused, tied to its store, whole or absent."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import batchwright.sequences.index_build as index_build
import batchwright.sequences.index_parts as index_parts
from batchwright.engines.local import LocalExecutor
from batchwright.engines.serial import SerialExecutor
from batchwright.foundation.array_file import HEADER_BYTES, ArrayFile
from batchwright.foundation.errors import CorruptDataError, InputError
from batchwright.foundation.files import WriterLock
from batchwright.sequences.index import FILES, SequenceIndex
from batchwright.sequences.index_build import build_index
from batchwright.sequences.packing import BestFit, BestFitTruncated, Concatenate, Packing, StartAligned
from batchwright.sequences.stored_tokens import StoredTokens
from batchwright.sequences.windows import windows
from tests.sequences.small_store import SmallShard, SmallStore, write_store

POLICIES: list[Packing] = [
    BestFit(window_documents=8, block_documents=2),
    BestFit(),
    Concatenate(),
    BestFitTruncated(window_documents=4, block_documents=2),
    StartAligned(buffer_documents=3, block_documents=2),
]
LENGTHS = [5, 3, 9, 2, 20, 1, 7, 4, 4, 13, 6, 2, 8, 31]


@pytest.fixture
def store(tmp_path: Path) -> SmallStore:
    return write_store(tmp_path, LENGTHS, shard_documents=4)


@pytest.mark.parametrize("packing", POLICIES)
@pytest.mark.parametrize("sequence_length", [2, 6, 16, 1000])
def test_every_token_is_in_one_segment_or_dropped_and_the_ledger_balances(
    store: SmallStore, packing: Packing, sequence_length: int
) -> None:
    check_index(store, LENGTHS, packing, sequence_length)


@pytest.mark.parametrize("packing", POLICIES)
@pytest.mark.parametrize("sequence_length", [128, 2048, 131_072])
def test_rows_as_long_as_are_trained_on_balance_too(tmp_path: Path, packing: Packing, sequence_length: int) -> None:
    lengths = [300_000, 5, 131_072, 70_001, 131_073, 2048, 129, 1, 40_000, 128]
    check_index(write_store(tmp_path, lengths, shard_documents=4), lengths, packing, sequence_length)


def check_index(store: SmallStore, lengths: list[int], packing: Packing, sequence_length: int) -> None:
    """Every token lies in one segment or is counted as dropped; rows are full or padded, never overfull."""
    index = build_index(store, sequence_length=sequence_length, packing=packing)
    covered = np.concatenate(
        [np.arange(a, a + n) for a, n in zip(index.starts.array, index.lengths.array, strict=True)]
    )
    guards = np.cumsum([0, *[shard.tokens.count for shard in store.train.shards]])[:-1]
    everything = np.setdiff1d(np.arange(sum(shard.tokens.count for shard in store.train.shards)), guards)
    assert np.unique(covered).size == covered.size
    assert np.isin(covered, everything).all()
    counts = index.counts
    assert set(counts["dropped"]) == ({packing.drops} if packing.drops else set())
    assert everything.size - covered.size == sum(counts["dropped"].values())
    assert sum(lengths) == counts["stored"] == counts["targets"] + sum(counts["dropped"].values())
    assert index.row_targets.array.sum() == counts["targets"] == index.target_count
    assert counts["slots"] == counts["targets"] + counts["padding"]
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


@pytest.mark.parametrize("packing", POLICIES)
@pytest.mark.parametrize("windows_per_part", [1, 3, 64])
def test_parts_on_an_engine_give_the_bytes_of_one_process(
    store: SmallStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packing: Packing, windows_per_part: int
) -> None:
    monkeypatch.setattr(index_parts, "WINDOWS_PER_PART", windows_per_part)
    serial = build_index(store, sequence_length=6, packing=packing)
    heard: list[tuple[int, int]] = []
    parts = build_index(
        store,
        sequence_length=6,
        packing=packing,
        directory=tmp_path / "parts",
        executor=SerialExecutor(),
        progress=lambda done, all_: heard.append((done, all_)),
    )
    assert heard[-1] == (len(LENGTHS), len(LENGTHS))
    assert bytes_of(parts) == bytes_of(serial)
    assert [path.name for path in (tmp_path / "parts").iterdir() if path.is_dir()] == [parts.directory.name]


def test_parts_in_processes_give_the_bytes_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_parts, "WINDOWS_PER_PART", 2)
    store = write_store(tmp_path, LENGTHS, shard_documents=4)
    packing = BestFit(window_documents=2, block_documents=1)
    serial = build_index(store, sequence_length=6, packing=packing, directory=tmp_path / "serial")
    parts = build_index(store, sequence_length=6, packing=packing, executor=LocalExecutor(2))
    assert bytes_of(parts) == bytes_of(serial)


@pytest.mark.parametrize("twin", ["forgets the segments before", "joins in order of completion"])
def test_a_join_that_goes_wrong_is_caught(
    store: SmallStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, twin: str
) -> None:
    monkeypatch.setattr(index_parts, "WINDOWS_PER_PART", 1)
    packing = BestFit(window_documents=4, block_documents=2)
    serial = build_index(store, sequence_length=6, packing=packing)
    if twin == "forgets the segments before":
        honest = index_parts._copy
        monkeypatch.setattr(index_parts, "_copy", lambda part, count, _, writer: honest(part, count, 0, writer))
    else:
        join = index_parts.join_parts
        monkeypatch.setattr(index_build, "join_parts", lambda tasks, home: join([*tasks[1:], tasks[0]], home))
    parts = build_index(
        store, sequence_length=6, packing=packing, directory=tmp_path / "parts", executor=SerialExecutor()
    )
    assert bytes_of(parts) != bytes_of(serial)


def test_a_part_that_is_there_is_not_packed_again(
    store: SmallStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_parts, "WINDOWS_PER_PART", 1)
    packing = BestFit(window_documents=4, block_documents=2)
    made: list[int] = []
    honest = index_parts.build_part

    def counted(parameters: Any, prefix: Path) -> Any:
        made.append(parameters["first_window"])
        if made == [0, 1, 2]:
            raise KeyboardInterrupt
        return honest(parameters, prefix)

    monkeypatch.setattr(index_parts, "build_part", counted)
    with pytest.raises(KeyboardInterrupt):
        build_index(store, sequence_length=6, packing=packing, executor=SerialExecutor())
    build_index(store, sequence_length=6, packing=packing, executor=SerialExecutor())
    assert made == [0, 1, 2, 2, 3]


def test_it_says_what_it_weighs(store: SmallStore) -> None:
    index = build_index(store, sequence_length=6)
    assert (index.bytes_per_segment, index.bytes_per_row) == (12, 12)
    on_disk = sum((index.directory / name).stat().st_size - HEADER_BYTES - 8 for name in FILES)
    assert index.payload_bytes == on_disk - 8  # rows.first has one entry more than rows


def bytes_of(index: SequenceIndex) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in index.directory.iterdir()}


def test_equal_input_gives_equal_bytes(tmp_path: Path) -> None:
    a, b = (build_index(write_store(tmp_path / name, LENGTHS), sequence_length=6) for name in ("a", "b"))
    assert bytes_of(a) == bytes_of(b)


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


def test_a_second_builder_waits_and_opens_what_the_first_one_built(store: SmallStore) -> None:
    home = store.directory / "sequences"
    first = build_index(store, sequence_length=6)
    hidden = first.directory.rename(first.directory.with_suffix(".hidden"))
    with ThreadPoolExecutor(1) as pool, WriterLock(home):
        second = pool.submit(build_index, store, sequence_length=6)
        with pytest.raises(TimeoutError):
            second.result(timeout=0.2)
        made_by_the_first = hidden.rename(first.directory).stat().st_ino
        waiting = second
    assert waiting.result().directory.stat().st_ino == made_by_the_first


def test_an_index_that_is_there_is_opened_without_a_lock(store: SmallStore) -> None:
    first = build_index(store, sequence_length=6)
    with WriterLock(store.directory / "sequences"):
        assert build_index(store, sequence_length=6).fingerprint == first.fingerprint


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


@pytest.mark.parametrize("sequence_length", [-1, 0, 1, 2**24 + 1])
def test_an_impossible_row_length_is_refused_before_anything_is_written(
    store: SmallStore, sequence_length: int
) -> None:
    with pytest.raises(InputError, match="choose a sequence length from 2"):
        build_index(store, sequence_length=sequence_length)
    assert not (store.directory / "sequences").exists()


def test_a_store_whose_documents_are_not_those_of_its_manifest_is_refused(store: SmallStore) -> None:
    for change in ({"document_count": 13}, {"token_count": 114}):
        with pytest.raises(CorruptDataError, match="115 tokens"):
            build_index(replace(store, train=replace(store.train, **change)), sequence_length=6)
    assert not list(store.directory.glob("sequences/*/manifest.json"))


def test_an_empty_split_is_refused(store: SmallStore) -> None:
    with pytest.raises(InputError, match="holds no documents"):
        build_index(store, split="validation", sequence_length=6)


def test_progress_ends_at_all_documents(store: SmallStore) -> None:
    seen: list[tuple[int, int]] = []
    packing = BestFit(window_documents=4, block_documents=2)
    build_index(store, sequence_length=6, packing=packing, progress=lambda done, all_: seen.append((done, all_)))
    assert seen[-1] == (len(LENGTHS), len(LENGTHS))
    assert len(seen) == 4
