"""Compressed input: whole or refused, in members, never a bomb."""

import gzip
from pathlib import Path

import pytest

from batchwright.documents import streams
from batchwright.foundation.errors import CorruptDataError
from tests.documents.corpus import compress, cuts, dropped, read_all, texts_of, write_jsonl

TEXTS = [f"line {n}: {n * n * 7919 % 10007} é" for n in range(300)]


@pytest.fixture
def content(tmp_path: Path) -> bytes:
    """A .jsonl file's bytes."""
    return write_jsonl(tmp_path / "plain.data", TEXTS).read_bytes()


@pytest.mark.parametrize("suffix", ["gz", "zst"])
@pytest.mark.parametrize("members", [1, 3])
def test_members_and_frames_that_follow_one_another_are_one_stream(
    tmp_path: Path, content: bytes, suffix: str, members: int
) -> None:
    file = compress(tmp_path / f"a.jsonl.{suffix}", content, members=members)
    documents, _ = read_all(file)
    assert texts_of(documents) == TEXTS
    assert documents[1].offset == content.index(b"\n") + 1


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_a_stream_cut_short_anywhere_is_refused_and_what_stood_before_is_kept(
    tmp_path: Path, content: bytes, suffix: str
) -> None:
    whole = compress(tmp_path / f"a.jsonl.{suffix}", content).read_bytes()
    for length in [*cuts(whole, 20), len(whole) - 1]:
        file = tmp_path / f"half.jsonl.{suffix}"
        file.write_bytes(whole[:length])
        with pytest.raises(CorruptDataError, match="damaged or cut short") as caught:
            read_all(file)
        assert str(file) in str(caught.value.where)
        documents, tally = read_all(file, errors="skip")
        assert texts_of(documents) == TEXTS[: len(documents)]
        assert dropped(tally) == {"corrupt": 1}


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_a_flipped_bit_is_never_read_in_silence(tmp_path: Path, content: bytes, suffix: str) -> None:
    import zstandard

    whole = (
        gzip.compress(content, mtime=0)
        if suffix == "gz"
        else zstandard.ZstdCompressor(write_checksum=True).compress(content)
    )
    file = tmp_path / f"a.jsonl.{suffix}"
    silent: list[int] = []
    for at in range(0, len(whole), max(1, len(whole) // 60)):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        documents, tally = read_all(file, errors="skip")
        if not tally.dropped and texts_of(documents) != TEXTS:
            silent.append(at)
    assert silent == []


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_a_bomb_is_stopped_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    monkeypatch.setattr(streams, "RATIO_FREE_BYTES", 2**20)
    file = compress(tmp_path / f"a.jsonl.{suffix}", b" " * 2**25)
    with pytest.raises(CorruptDataError, match="decompression bomb"):
        read_all(file)
    assert dropped(read_all(file, errors="skip")[1]) == {"corrupt": 1}


def test_an_empty_compressed_file_is_a_failed_download(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.gz").write_bytes(b"")
    with pytest.raises(CorruptDataError, match="0 bytes"):
        read_all(tmp_path / "a.jsonl.gz")


def test_a_compressed_text_file_is_one_document_and_a_compressed_archive_is_binary(tmp_path: Path) -> None:
    compress(tmp_path / "book.txt.zst", b"a book\r\nof two lines")
    compress(tmp_path / "archive.tar.gz", b"name\0\0\0content")
    documents, tally = read_all(tmp_path)
    assert texts_of(documents) == ["a book\nof two lines"]
    assert dropped(tally) == {"binary": 1}
