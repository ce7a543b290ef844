from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchwright.foundation.array_file import BLOCK_BYTES, HEADER_BYTES, ArrayFile, ArrayFileWriter
from batchwright.foundation.errors import CorruptDataError, InputError

RECORD = np.dtype([("id", "u1", 16), ("offset", "<u8")])


def write(path: Path, *arrays: np.ndarray, kind: str = "tokens") -> Path:
    with ArrayFileWriter(path, kind, arrays[0].dtype) as file:
        for array in arrays:
            file.append(array)
    return path


@settings(max_examples=30)
@given(st.lists(st.integers(0, 600_000), max_size=4), st.sampled_from(["<u2", "<u4", "<i8"]))
def test_what_was_appended_is_read_back_whatever_the_pieces(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[int], dtype: str
):
    path = tmp_path_factory.mktemp("array") / "a"
    whole = np.arange(sum(pieces)).astype(dtype)
    write(path, whole[:0], *np.split(whole, np.cumsum(pieces)))
    file = ArrayFile.open(path, "tokens")
    assert np.array_equal(file.array, whole)
    assert file.count == whole.size
    file.verify()
    write(path.with_name("b"), whole)
    assert path.read_bytes() == path.with_name("b").read_bytes(), "the bytes depend on the content alone"


def test_records_are_opened_with_their_dtype(tmp_path: Path):
    path = write(tmp_path / "p", np.zeros(5, RECORD), kind="provenance")
    assert ArrayFile.open(path, "provenance", RECORD).array.dtype == RECORD
    with pytest.raises(CorruptDataError, match="items of record"):
        ArrayFile.open(path, "provenance", np.dtype([("id", "u1", 8)]))


def damage_is_found(path: Path, content: bytes) -> bool:
    path.write_bytes(content)
    try:
        ArrayFile.open(path, "tokens", "<u2").verify()
    except CorruptDataError as error:
        assert str(path) in str(error)
        return True
    return False


def test_one_flipped_bit_anywhere_is_found(tmp_path: Path):
    good = write(tmp_path / "a", np.arange(900).astype("<u2")).read_bytes()
    for byte in range(len(good)):
        bad = bytearray(good)
        bad[byte] ^= 1 << (byte % 8)
        assert damage_is_found(tmp_path / "b", bytes(bad)), f"byte {byte}"
    assert not damage_is_found(tmp_path / "b", good)


def test_a_file_cut_or_lengthened_anywhere_is_found(tmp_path: Path):
    good = write(tmp_path / "a", np.arange(900).astype("<u2")).read_bytes()
    for size in [*range(0, len(good), 97), len(good) - 1]:
        assert damage_is_found(tmp_path / "b", good[:size])
    assert damage_is_found(tmp_path / "b", good + b"\0")


def test_another_kind_or_a_missing_file_is_named(tmp_path: Path):
    path = write(tmp_path / "a", np.arange(4).astype("<i8"), kind="documents")
    with pytest.raises(CorruptDataError, match="holds documents, expected tokens"):
        ArrayFile.open(path, "tokens")
    with pytest.raises(InputError, match="no such file"):
        ArrayFile.open(tmp_path / "none", "tokens")


def test_only_the_touched_block_is_checked(tmp_path: Path):
    per_block = BLOCK_BYTES // 2
    path = write(tmp_path / "a", np.zeros(3 * per_block, "<u2"))
    content = bytearray(path.read_bytes())
    content[HEADER_BYTES + BLOCK_BYTES + 5] ^= 1
    path.write_bytes(content)
    file = ArrayFile.open(path, "tokens")
    file.check(0, per_block)
    file.check(2 * per_block, 3 * per_block)
    assert file.unchecked.tolist() == [0, 1, 0]
    with pytest.raises(CorruptDataError, match="checksum"):
        file.check(per_block - 1, per_block + 1)
    with pytest.raises(CorruptDataError):
        file.verify()


def test_a_failed_writer_leaves_no_file(tmp_path: Path):
    with pytest.raises(RuntimeError), ArrayFileWriter(tmp_path / "a", "tokens", "<u2") as file:
        file.append(np.zeros(3, "<u2"))
        raise RuntimeError
    with pytest.raises(TypeError), ArrayFileWriter(tmp_path / "a", "tokens", "<u2") as file:
        file.append(np.zeros(3, "<u4"))
    assert list(tmp_path.iterdir()) == []


def test_reading_ahead_checks_nothing_and_ends_at_the_payload(tmp_path: Path):
    path = tmp_path / "a"
    with ArrayFileWriter(path, "tokens", "<u2") as writer:
        writer.append(np.zeros(BLOCK_BYTES // 2 + 7, "<u2"))
    content = bytearray(path.read_bytes())
    content[HEADER_BYTES + BLOCK_BYTES + 3] ^= 1
    path.write_bytes(content)
    file = ArrayFile.open(path, "tokens")
    file.read_ahead(0, file.count)
    file.read_ahead(5, 5)
    assert file.unchecked.tolist() == [1, 1]
    file.check(0, 1)
    with pytest.raises(CorruptDataError):
        file.check(0, file.count)
    empty = tmp_path / "empty"
    with ArrayFileWriter(empty, "tokens", "<u2"):
        pass
    ArrayFile.open(empty, "tokens").read_ahead(0, 0)
