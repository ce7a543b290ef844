"""A parquet column becomes documents; what is damaged or named wrongly is said by name."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batchwright.documents import read_parquet, streams
from batchwright.foundation.errors import BatchwrightError, CorruptDataError, InputError
from tests.documents.corpus import cuts, dropped, read_all, texts_of, write_parquet

TEXTS = ["one", "zwei é", "", "four\r\n", "\U0001f600" * 10]


def test_rows_become_documents_and_the_offset_is_the_row_number(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", ["a", None, "c", "d", ""], rows=2)
    documents, tally = read_all(tmp_path)
    assert [(document.text, document.offset) for document in documents] == [("a", 0), ("c", 2), ("d", 3)]
    assert dropped(tally) == {"empty": 2}


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary(), pa.binary_view()]
)
def test_every_type_of_text_column_is_read(tmp_path: Path, kind: pa.DataType) -> None:
    column = pa.array([text.encode() for text in TEXTS], pa.binary()).cast(kind)
    pq.write_table(pa.table({"text": column}), tmp_path / "a.parquet")
    assert texts_of(read_all(tmp_path, steps=())[0]) == TEXTS


def test_a_dictionary_column_is_text_too(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": pa.array(["a", "b", "a"]).dictionary_encode()}), tmp_path / "a.parquet")
    assert texts_of(read_all(tmp_path)[0]) == ["a", "b", "a"]


def test_batches_do_not_change_what_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"{n} " * (n % 90 + 1) for n in range(700)]
    write_parquet(tmp_path / "a.parquet", texts, rows=300)
    monkeypatch.setattr(read_parquet, "BATCH_BYTES", 1000)
    documents, _ = read_all(tmp_path)
    assert texts_of(documents) == texts
    assert [document.offset for document in documents] == list(range(700))


def test_a_missing_column_names_those_that_exist_and_the_nearest_under_every_policy(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", ["x"], column="texts")
    for errors in ("strict", "replace", "skip"):
        with pytest.raises(InputError, match=r"no column 'text'; it has: number, texts") as caught:
            read_all(tmp_path, errors=errors)
        assert caught.value.remedy == "--text-column texts"
    assert texts_of(read_all(tmp_path, text_column="texts")[0]) == ["x"]


def test_a_column_of_numbers_is_no_text(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", ["x"])
    with pytest.raises(InputError, match="holds int64, not text"):
        read_all(tmp_path, text_column="number")


def test_invalid_utf8_in_a_string_column_is_found_with_its_row(tmp_path: Path) -> None:
    raw = pa.array([b"good", b"b\xffd"], pa.binary())
    column = pa.Array.from_buffers(pa.string(), 2, raw.buffers())
    pq.write_table(pa.table({"text": column}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match="not UTF-8") as caught:
        read_all(tmp_path)
    assert caught.value.where == f"{tmp_path / 'a.parquet'}, row 1, byte 1 of its text"
    assert texts_of(read_all(tmp_path, errors="replace")[0]) == ["good", "b\ufffdd"]
    assert dropped(read_all(tmp_path, errors="skip")[1]) == {"invalid_utf8": 1}


@pytest.mark.parametrize("target_bytes", [1, 2**25])
def test_a_file_cut_short_anywhere_is_refused(tmp_path: Path, target_bytes: int) -> None:
    whole = write_parquet(tmp_path / "whole.parquet", ["text"] * 100, rows=10).read_bytes()
    (tmp_path / "whole.parquet").unlink()
    file = tmp_path / "half.parquet"
    for length in cuts(whole, 20):
        file.write_bytes(whole[:length])
        with pytest.raises(CorruptDataError, match="damaged or cut short") as caught:
            read_all(file, target_bytes=target_bytes)
        assert caught.value.where == str(file)
        assert dropped(read_all(file, errors="skip", target_bytes=target_bytes)[1]) == {"corrupt": 1}


def test_a_damaged_row_group_is_refused_and_the_others_are_read_when_skipping(tmp_path: Path) -> None:
    file = write_parquet(tmp_path / "a.parquet", [f"row {n}" for n in range(30)], rows=10)
    offset = pq.ParquetFile(file).metadata.row_group(1).column(1).dictionary_page_offset
    content = bytearray(file.read_bytes())
    content[offset : offset + 8] = b"\xff" * 8
    file.write_bytes(content)
    with pytest.raises(CorruptDataError, match="row group 1"):
        read_all(file)
    documents, tally = read_all(file, errors="skip")
    assert [document.offset for document in documents] == [*range(10), *range(20, 30)]
    assert dropped(tally) == {"corrupt": 1}


def test_flipped_bytes_raise_only_our_own_errors(tmp_path: Path) -> None:
    whole = write_parquet(tmp_path / "a.parquet", [f"row {n}" for n in range(30)], rows=10).read_bytes()
    file = tmp_path / "a.parquet"
    for at in range(0, len(whole), 7):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        try:
            read_all(file, errors="skip")
        except BatchwrightError as error:
            assert str(file) in str(error)


def test_one_long_value_said_any_number_of_times_is_a_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "RATIO_FREE_BYTES", 2**20)
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 50_000, pa.int32()), pa.array(["x" * 10_000]))
    pq.write_table(pa.table({"text": texts}), tmp_path / "a.parquet", store_schema=False)
    with pytest.raises(CorruptDataError, match="decompression bomb"):
        read_all(tmp_path)
    assert dropped(read_all(tmp_path, errors="skip")[1]) == {"corrupt": 1}


def test_a_value_above_the_document_cap_is_refused_with_its_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_parquet, "DOCUMENT_CAP_BYTES", 10)
    write_parquet(tmp_path / "a.parquet", ["ok", "x" * 11])
    with pytest.raises(InputError, match="longer than 10 bytes") as caught:
        read_all(tmp_path)
    assert "row 1" in str(caught.value.where)
    assert dropped(read_all(tmp_path, errors="skip")[1]) == {"too_long": 1}
