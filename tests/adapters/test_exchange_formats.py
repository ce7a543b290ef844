"""Each format byte by byte, read without us; and what a broken file says."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batchwright.adapters.exporting import export_store
from batchwright.adapters.importing import import_store
from batchwright.foundation.errors import BatchwrightError, CorruptDataError, InputError
from batchwright.tokens.store import TokenStore
from batchwright.tokens.verification import verify
from tests.adapters.documents_of_ids import EOT, Documents, held, masks_held, store_of

GIVEN: Documents = [[1, 2, 3], [4], [500, 501], [7, 7, 7, 7]]
CLOSED = [[*ids, EOT] for ids in GIVEN]


def bring(form: Any, path: Path, out: Path, **settings: Any) -> TokenStore:
    return import_store([str(path)], out, form=form, **{"vocabulary_size": 600, "eot_id": EOT, **settings})


def write_megatron(prefix: Path, sequences: Documents, cuts: list[int], *, code: int = 8, **wrong: Any) -> None:
    """By hand: header, lengths, byte offsets, document indices."""
    dtype = {1: "<u1", 4: "<i4", 5: "<i8", 8: "<u2"}[code]
    flat = np.array([number for ids in sequences for number in ids], dtype)
    lengths = np.array([len(ids) for ids in sequences], "<i4")
    pointers = (np.cumsum([0, *lengths[:-1]]) * flat.itemsize).astype("<i8") + wrong.get("shift", 0)
    head = struct.pack(
        "<9sQBQQ",
        wrong.get("magic", b"MMIDIDX\0\0"),
        wrong.get("version", 1),
        wrong.get("named", code),
        len(sequences),
        len(cuts),
    )
    prefix.with_suffix(".idx").write_bytes(
        head + lengths.tobytes() + pointers.tobytes() + np.array(cuts, "<i8").tobytes() + wrong.get("tail", b"")
    )
    prefix.with_suffix(".bin").write_bytes(flat.tobytes()[: wrong.get("keep")])


def test_megatrons_files_are_what_its_layout_says(tmp_path: Path) -> None:
    export_store(store_of(tmp_path, GIVEN), tmp_path / "out", to="megatron")
    index, ids = (tmp_path / "out" / "train.idx").read_bytes(), np.fromfile(tmp_path / "out" / "train.bin", "<u2")
    assert struct.unpack_from("<9sQBQQ", index) == (b"MMIDIDX\0\0", 1, 8, 4, 5)
    assert np.frombuffer(index, "<i4", 4, 34).tolist() == [4, 2, 3, 5]
    assert np.frombuffer(index, "<i8", 4, 34 + 16).tolist() == [0, 8, 12, 18]
    assert np.frombuffer(index, "<i8", 5, 34 + 16 + 32).tolist() == [0, 1, 2, 3, 4]
    assert len(index) == 34 + 12 * 4 + 8 * 5
    assert ids.tolist() == [number for closed in CLOSED for number in closed]


@pytest.mark.parametrize("code", [4, 5, 8])
def test_a_megatron_document_may_be_several_sequences(tmp_path: Path, code: int) -> None:
    write_megatron(
        tmp_path / "it", [[1], [2, 3], [4, EOT], [500], [501, EOT], [7, 7], [7, 7]], [0, 2, 3, 5, 7], code=code
    )
    for named in ("it", "it.idx", "it.bin"):
        store = bring("megatron", tmp_path / named, tmp_path / f"from-{named}")
        assert held(store) == CLOSED
        assert store.manifest.tally["edited"]["closed"]["documents"] == 2
    assert store.provenance("train", 2).offset == 5


@pytest.mark.parametrize(
    ("wrong", "kind", "says"),
    [
        ({"magic": b"SOMETHING"}, InputError, "no Megatron index"),
        ({"version": 2}, InputError, "version 2"),
        ({"named": 7}, InputError, "holds no ids"),
        ({"tail": b"\0\0"}, CorruptDataError, "multimodal"),
        ({"shift": 2}, CorruptDataError, "end to end"),
        ({"keep": -2}, CorruptDataError, "end at id"),
        ({"keep": -1}, CorruptDataError, "whole number"),
    ],
)
def test_a_broken_megatron_pair_is_named(
    tmp_path: Path, wrong: dict[str, Any], kind: type[BatchwrightError], says: str
) -> None:
    write_megatron(tmp_path / "it", CLOSED, [0, 1, 2, 3, 4], **wrong)
    with pytest.raises(kind, match=says) as caught:
        bring("megatron", tmp_path / "it", tmp_path / "store")
    assert str(tmp_path) in str(caught.value)
    assert not (tmp_path / "store" / "manifest.json").exists()


@pytest.mark.parametrize("cuts", [[0, 2, 1, 3, 4], [0, 1, 2, 3], [1, 2, 3, 4]])
def test_document_indices_that_make_no_sense_are_refused(tmp_path: Path, cuts: list[int]) -> None:
    write_megatron(tmp_path / "it", CLOSED, cuts)
    with pytest.raises(CorruptDataError, match="document indices"):
        bring("megatron", tmp_path / "it", tmp_path / "store")


def test_nanogpts_file_is_the_ids_and_nothing_else(tmp_path: Path) -> None:
    export_store(store_of(tmp_path, GIVEN, validation=[[5]]), tmp_path / "out", to="nanogpt")
    assert np.fromfile(tmp_path / "out" / "train.bin", "<u2").tolist() == [number for ids in CLOSED for number in ids]
    assert np.fromfile(tmp_path / "out" / "val.bin", "<u2").tolist() == [5, EOT]


def test_nanogpts_val_bin_is_never_trained_on(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    np.array([1, EOT, 2, EOT], "<u2").tofile(tmp_path / "data" / "train.bin")
    np.array([3, EOT], "<u2").tofile(tmp_path / "data" / "val.bin")
    store = bring("nanogpt", tmp_path / "data", tmp_path / "store")
    assert (held(store), held(store, "validation")) == ([[1, EOT], [2, EOT]], [[3, EOT]])


def test_ids_after_the_last_end_are_a_document_and_empty_ones_are_dropped(tmp_path: Path) -> None:
    np.array([EOT, 1, 2, EOT, EOT, 3], "<u4").tofile(tmp_path / "it.bin")
    store = bring("nanogpt", tmp_path / "it.bin", tmp_path / "store", dtype="uint32")
    assert held(store) == [[1, 2, EOT], [3, EOT]]
    tally = store.manifest.tally
    assert (tally["read"]["documents"], tally["kept"]["documents"]) == (4, 2)
    assert tally["dropped"]["empty"]["documents"] == 2
    assert tally["edited"]["closed"]["documents"] == 1


def test_the_header_of_llm_c_is_not_read_as_ids(tmp_path: Path) -> None:
    np.concatenate([np.array([20240520, 1, 4], "<i4"), np.zeros(253, "<i4")]).tofile(tmp_path / "it.bin")
    with pytest.raises(InputError, match=r"llm\.c"):
        bring("nanogpt", tmp_path / "it.bin", tmp_path / "store")


def write_parquet(path: Path, ids: list[Any], masks: list[Any] | None = None, kind: Any = None) -> Path:
    columns: dict[str, Any] = {"input_ids": pa.array(ids, kind or pa.list_(pa.int64()))}
    if masks is not None:
        columns["loss_mask"] = pa.array(masks, pa.list_(pa.uint8()))
    pq.write_table(pa.table(columns), path, row_group_size=2)
    return path


@pytest.mark.parametrize("item", ["uint8", "int16", "uint16", "int32", "int64", "uint64"])
@pytest.mark.parametrize("make", [pa.list_, pa.large_list])
def test_parquet_of_any_integer_type_is_read(tmp_path: Path, item: str, make: Any) -> None:
    given = [[1, 2], None, [3, EOT], [], [100]]
    path = write_parquet(tmp_path / "it.parquet", given, kind=make(getattr(pa, item)()))
    store = bring("parquet", path, tmp_path / "store")
    assert held(store) == [[1, 2, EOT], [3, EOT], [100, EOT]]
    assert [store.provenance("train", n).offset for n in range(3)] == [0, 2, 4]


def test_a_loss_mask_is_stored_verified_and_written_again(tmp_path: Path) -> None:
    masks = [[0, 0, 1], [1], [0, 0], [1, 0, 1, 0]]
    write_parquet(tmp_path / "it.parquet", GIVEN, masks)
    store = bring("parquet", tmp_path / "it.parquet", tmp_path / "store", shard_tokens=6)
    want = [[0, 0, 1, 1], [1, 1], [0, 0, 0], [1, 0, 1, 0, 0]]
    assert masks_held(store) == want
    assert verify(store).sound
    assert len(store.split("train").shards) == 3
    export_store(store, tmp_path / "out", to="parquet")
    rows = [row for n in range(3) for row in pq.read_table(tmp_path / "out" / f"train-{n:05d}.parquet").to_pylist()]
    assert [row["input_ids"] for row in rows] == CLOSED
    assert [row["loss_mask"] for row in rows] == want
    back = import_store([str(tmp_path / "out")], tmp_path / "back", form="parquet", shard_tokens=6)
    assert (masks_held(back), held(back)) == (want, CLOSED)
    assert export_store(store, tmp_path / "lossy", to="nanogpt").manifest["left_out"] == ["loss mask"]


def test_a_damaged_loss_mask_is_found(tmp_path: Path) -> None:
    write_parquet(tmp_path / "it.parquet", GIVEN, [[1] * len(ids) for ids in GIVEN])
    bring("parquet", tmp_path / "it.parquet", tmp_path / "store")
    file = tmp_path / "store" / "00000.mask"
    raw = bytearray(file.read_bytes())
    raw[4096 + 2] ^= 1
    file.write_bytes(raw)
    assert any("mask" in str(error.where) for error in verify(TokenStore.open(tmp_path / "store")).damage)


@pytest.mark.parametrize(
    ("ids", "masks", "says"),
    [
        ([[1, 2]], [[1]], "row 0 has 2 ids and a mask of 1"),
        ([[1, 2], [3]], [[1, 1], [2]], "mask of row 1"),
        ([[1, None]], None, "holds a null"),
    ],
)
def test_parquet_that_contradicts_itself_is_named(tmp_path: Path, ids: Any, masks: Any, says: str) -> None:
    write_parquet(tmp_path / "it.parquet", ids, masks)
    with pytest.raises(InputError, match=says):
        bring("parquet", tmp_path / "it.parquet", tmp_path / "store")


def test_parquet_that_is_something_else_is_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"inputs_ids": [[1]], "text": ["a"]}), tmp_path / "it.parquet")
    with pytest.raises(InputError, match="no column 'input_ids'") as caught:
        bring("parquet", tmp_path / "it.parquet", tmp_path / "store")
    assert "--ids-column inputs_ids" in str(caught.value)
    with pytest.raises(InputError, match="expected lists of whole numbers"):
        bring("parquet", tmp_path / "it.parquet", tmp_path / "store", ids_column="text")
    whole = (tmp_path / "it.parquet").read_bytes()
    (tmp_path / "cut.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CorruptDataError, match="cut short"):
        bring("parquet", tmp_path / "cut.parquet", tmp_path / "store")
