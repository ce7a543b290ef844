"""Batches against a twin that builds every row from Python lists of documents."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from batchwright.batches.batch import Batch
from batchwright.batches.buffers import new_arrays
from batchwright.batches.collate import Collator
from batchwright.foundation.array_file import HEADER_BYTES, ArrayFile, ArrayFileWriter
from batchwright.foundation.errors import CorruptDataError
from batchwright.sequences.index import FILES, SequenceIndex
from batchwright.sequences.index_build import build_index
from batchwright.sequences.packing import BestFit, Concatenate, Packing
from batchwright.sequences.sampler import PlacedRows
from batchwright.sequences.stored_tokens import StoredTokens
from tests.sequences.small_store import EOT, SmallStore, write_store

LENGTHS = [5, 3, 9, 2, 20, 1, 7, 4, 4, 13, 6, 2, 8, 31]


def placed(rows: NDArray[np.int64], first_position: int) -> PlacedRows:
    """Rows of the only index, in epoch 0, at this position and after."""
    zeros = np.zeros_like(rows)
    positions = np.arange(first_position, first_position + rows.shape[0])
    return PlacedRows(np.stack([positions, zeros, rows, zeros], 1))


def row_reference(store: SmallStore, index: SequenceIndex, row: int) -> dict[str, list[Any]]:
    """A row from documents as lists: the segment rule, said with other words."""
    documents, masks = store.documents(), store.masks()
    out: dict[str, list[Any]] = {name: [] for name in ("inputs", "targets", "mask", "positions", "documents", "ends")}
    starts, lengths = index.segments_of(row)
    first_of = np.cumsum([0, *[len(document) for document in documents]])
    per_shard = [shard.documents.count for shard in store.train.shards]
    guards = np.repeat(np.arange(1, len(per_shard) + 1), per_shard)
    for number, length in zip(index.document_table.documents_at(starts).tolist(), lengths.tolist(), strict=True):
        document = documents[number]
        place = len(out["documents"])
        begin = int(starts[len(out["ends"])]) - int(first_of[number]) - int(guards[number])
        out["targets"] += document[begin : begin + length]
        out["inputs"] += [EOT, *document][begin : begin + length]
        out["positions"] += range(length)
        out["documents"] += [number] * length
        out["mask"] += [index.masked is False or flag == 1 for flag in masks[number][begin : begin + length]]
        out["ends"].append(place + length)
    padding = index.sequence_length - len(out["mask"])
    out["targets"] += [EOT] * padding
    out["inputs"] += [EOT] * padding
    out["positions"] += range(padding)
    out["documents"] += [-1] * padding
    out["mask"] += [False] * padding
    out["ends"] += [index.sequence_length] if padding else []
    return out


def check_batch(batch: Batch, store: SmallStore, index: SequenceIndex, rows: list[int]) -> None:
    length = index.sequence_length
    ends: list[int] = [0]
    documents = batch.documents
    for b, row in enumerate(rows):
        expected = row_reference(store, index, row)
        assert batch.inputs[b].tolist() == expected["inputs"]
        assert batch.targets[b].tolist() == expected["targets"]
        assert batch.loss_mask[b].tolist() == expected["mask"]
        assert batch.position_ids[b].tolist() == expected["positions"]
        assert documents[b].tolist() == expected["documents"]
        ends += [b * length + end for end in expected["ends"]]
    for b in range(len(rows), batch.shape[0]):
        assert not batch.loss_mask[b].any()
        assert set(batch.inputs[b].tolist()) == set(batch.targets[b].tolist()) == {EOT}
        assert batch.position_ids[b].tolist() == list(range(length))
        assert documents[b].tolist() == [-1] * length
        ends.append((b + 1) * length)
    assert batch.segment_ends.tolist() == ends
    assert (batch.cu_seqlens[batch.segment_count :] == batch.shape[0] * length).all()
    assert batch.max_seqlen == max(np.diff(ends))
    assert batch.target_count == batch.loss_mask.sum()
    assert batch.row_count == len(rows)


@pytest.mark.parametrize("packing", [BestFit(window_documents=4, block_documents=2), Concatenate()])
@pytest.mark.parametrize("sequence_length", [2, 6, 200])
@pytest.mark.parametrize(("dtype", "out"), [("<u2", "int64"), ("<u2", "uint16"), ("<u4", "int64"), ("<u4", "uint32")])
@pytest.mark.parametrize("past_cache", [False, True])
def test_every_slot_is_what_the_segment_rule_says(
    tmp_path: Path, packing: Packing, sequence_length: int, dtype: str, out: str, past_cache: bool
) -> None:
    store = write_store(tmp_path, LENGTHS, shard_documents=4, dtype=dtype)
    index = build_index(store, sequence_length=sequence_length, packing=packing)
    collator, arrays = Collator(index), new_arrays(3, sequence_length, out)
    arrays.past_cache[0] = past_cache
    for first in range(0, index.row_count, 3):
        rows = np.arange(first, min(first + 3, index.row_count))
        batch = collator.collate(arrays, placed(rows, 10 + first))
        check_batch(batch, store, index, rows.tolist())
        assert batch.inputs.dtype == batch.targets.dtype == np.dtype(out)
        assert batch.positions.tolist() == [*range(10 + first, 10 + first + len(rows)), *[-1] * (3 - len(rows))]


@given(rows=st.lists(st.lists(st.integers(0, 12), max_size=5), min_size=1, max_size=6))
@settings(max_examples=30)
def test_nothing_of_a_former_batch_remains_in_its_memory(
    rows: list[list[int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = write_store(tmp_path_factory.mktemp("store"), LENGTHS, shard_documents=4)
    index = build_index(store, sequence_length=9)
    collator, arrays = Collator(index), new_arrays(5, 9, "int64")
    for numbers in rows:
        chosen = np.array(numbers, np.int64) % index.row_count
        check_batch(collator.collate(arrays, placed(chosen, 0)), store, index, chosen.tolist())


def flip(path: Path, offset: int) -> None:
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["00001.tokens", "segments.start", "segments.length", "rows.first", "rows.targets"])
def test_a_flipped_bit_is_found_when_its_block_is_first_touched(tmp_path: Path, name: str) -> None:
    store = write_store(tmp_path, LENGTHS, shard_documents=4)
    index = build_index(store, sequence_length=6)
    flip(tmp_path / name if "tokens" in name else index.directory / name, HEADER_BYTES + 5)
    opened = SequenceIndex.open(index.directory, StoredTokens.of(store))
    rows = np.arange(opened.row_count)
    with pytest.raises(CorruptDataError, match=name):
        opened.targets_of(rows)
        Collator(opened).collate(new_arrays(rows.shape[0], 6, "int64"), placed(rows, 0))


@pytest.mark.parametrize(
    ("starts", "lengths"),
    [([0], [3]), ([1], [0]), ([1], [10**6]), ([2**62], [3]), ([-5], [3]), ([17], [4]), ([18], [1]), ([1, 1], [4, 4])],
)
def test_an_index_that_points_outside_is_refused_not_followed(
    tmp_path: Path, starts: list[int], lengths: list[int]
) -> None:
    store = write_store(tmp_path, [8, 9, 8, 9], shard_documents=2)  # shards of 18 items each
    index = build_index(store, sequence_length=6)
    values = {
        "segments.start": np.array(starts, "<i8"),
        "segments.length": np.array(lengths, "<i4"),
        "rows.first": np.array([0, len(starts)], "<i8"),
        "rows.targets": np.array([6], "<i4"),
    }
    files: dict[str, ArrayFile] = {}
    for name, (kind, dtype) in FILES.items():
        with ArrayFileWriter(tmp_path / name, kind, dtype) as writer:
            writer.append(values[name])
        files[name] = ArrayFile.open(tmp_path / name, kind, dtype)
    forged = SequenceIndex(
        directory=index.directory,
        stored=index.stored,
        origin=index.origin,
        documents_cut=0,
        starts=files["segments.start"],
        lengths=files["segments.length"],
        row_firsts=files["rows.first"],
        row_targets=files["rows.targets"],
    )
    row = np.zeros(1, np.int64)
    with pytest.raises(CorruptDataError, match="points outside"):
        Collator(forged).collate(new_arrays(1, 6, "int64"), placed(row, 0))
