"""Cutting the work never changes what is read."""

from pathlib import Path

import pytest

from batchwright.documents.inputs import TextSource, discover
from batchwright.documents.partitions import WHOLE, Partition, Piece, partition
from batchwright.foundation.errors import InputError
from tests.documents.corpus import compress, read_all, texts_of, write_jsonl, write_parquet


def mixed(root: Path) -> Path:
    """Every format, small and large."""
    texts = [f"document {n} é" + "x" * (n % 50) for n in range(200)]
    write_jsonl(root / "a.jsonl", texts)
    compress(root / "b.jsonl.gz", (root / "a.jsonl").read_bytes())
    write_parquet(root / "c.parquet", texts, rows=37)
    for n in range(5):
        (root / f"d{n}.txt").write_text(f"text {n}")
    return root


def test_every_target_size_gives_the_same_documents_in_the_same_order(tmp_path: Path) -> None:
    mixed(tmp_path)
    whole, tally = read_all(tmp_path)
    assert len(whole) == 605
    assert [(document.file, document.offset) for document in whole] == sorted(
        (document.file, document.offset) for document in whole
    )
    for target_bytes in (1, 17, 100, 1000, 10_000):
        cut, cut_tally = read_all(tmp_path, target_bytes=target_bytes)
        assert cut == whole
        assert cut_tally == tally


def test_small_files_share_a_partition_and_large_ones_are_cut(tmp_path: Path) -> None:
    inputs = discover([TextSource(name="s", paths=(str(mixed(tmp_path)),))])
    size = inputs[0].size
    parts = partition(inputs, 5000)
    assert parts[0].pieces == (Piece(0, 0, 5000),)
    assert [piece for part in parts for piece in part.pieces if piece.file == 0][-1].stop == WHOLE
    assert sum(piece.file == 0 for part in parts for piece in part.pieces) == -(-size // 5000)
    assert parts[-1].files[-5:] == (3, 4, 5, 6, 7)


def test_a_parquet_file_is_cut_between_row_groups(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", [str(n) * 100 for n in range(100)], rows=10)
    inputs = discover([TextSource(name="s", paths=(str(tmp_path),))])
    parts = partition(inputs, 1)
    assert [part.pieces[0] for part in parts] == [Piece(0, group, group + 1) for group in range(10)]


def test_lines_appended_after_listing_are_read_and_not_lost(tmp_path: Path) -> None:
    file = write_jsonl(tmp_path / "a.jsonl", ["one", "two"])
    inputs = discover([TextSource(name="s", paths=(str(file),))])
    assert partition(inputs, 10)[-1].pieces[-1].stop == WHOLE


def test_a_partition_survives_its_json_and_a_size_of_zero_is_refused(tmp_path: Path) -> None:
    part = Partition((Piece(0, 5, 9), Piece(3)))
    assert Partition.from_dict(part.to_dict()) == part
    with pytest.raises(InputError, match="cannot have 0 bytes"):
        partition([], 0)


def test_texts_are_those_that_were_written(tmp_path: Path) -> None:
    texts = [f"{n}" for n in range(50)]
    write_jsonl(tmp_path / "a.jsonl", texts)
    assert texts_of(read_all(tmp_path, target_bytes=7)[0]) == texts
