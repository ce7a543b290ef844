"""A file is a document: binary ones, broken ones and marks are told apart and counted."""

from pathlib import Path

import pytest

from batchwright.documents import read_text
from batchwright.documents.document import DocumentFlag
from batchwright.foundation.errors import InputError
from tests.documents.corpus import dropped, edited, read_all, texts_of


def test_files_of_a_directory_are_documents_in_the_order_of_their_paths(tmp_path: Path) -> None:
    for name, text in (("b.py", "two"), ("a/z.txt", "one"), ("c", "three")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    documents, tally = read_all(tmp_path)
    assert texts_of(documents) == ["one", "two", "three"]
    assert [(document.file, document.offset, document.source) for document in documents] == [
        (0, 0, 0),
        (1, 0, 0),
        (2, 0, 0),
    ]
    assert tally.read.bytes == 11


def test_a_file_with_a_nul_byte_is_binary_whatever_its_name_and_the_policy(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"text \0 more" + bytes([255]))
    (tmp_path / "b.txt").write_bytes(b"fine")
    documents, tally = read_all(tmp_path)
    assert texts_of(documents) == ["fine"]
    assert dropped(tally) == {"binary": 1}
    assert tally.dropped["binary"].bytes == 12


def test_empty_and_blank_files_are_counted_as_empty(tmp_path: Path) -> None:
    for name, content in (
        ("a", b""),
        ("b", b" \n\t"),
        ("c", "\u3000\u2003".encode()),
        ("d", b"\xef\xbb\xbf"),
        ("e", b"x"),
    ):
        (tmp_path / name).write_bytes(content)
    documents, tally = read_all(tmp_path)
    assert texts_of(documents) == ["x"]
    assert dropped(tally) == {"empty": 4}


def test_a_byte_order_mark_is_removed_and_counted(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfhello")
    documents, tally = read_all(tmp_path)
    assert texts_of(documents) == ["hello"]
    assert (tally.edited["byte_order_mark"].documents, tally.edited["byte_order_mark"].bytes) == (1, 3)


def test_bytes_that_are_no_utf8_stop_the_job_with_file_and_byte(tmp_path: Path) -> None:
    file = tmp_path / "latin.txt"
    file.write_bytes("é".encode() + b"caf\xe9 noir")
    with pytest.raises(InputError, match="not UTF-8") as caught:
        read_all(tmp_path)
    assert caught.value.where == f"{file}, byte 5"
    assert caught.value.remedy is not None
    assert "--errors" in caught.value.remedy


def test_replace_repairs_and_skip_drops_and_both_count(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"caf\xe9 noir")
    (tmp_path / "b.txt").write_bytes("a real \ufffd is no repair".encode())
    replaced, tally = read_all(tmp_path, errors="replace")
    assert texts_of(replaced) == ["caf\ufffd noir", "a real \ufffd is no repair"]
    assert edited(tally) == {"invalid_utf8_replaced": 1}
    assert [document.flags for document in replaced] == [DocumentFlag.REPAIRED, 0]
    kept, tally = read_all(tmp_path, errors="skip")
    assert len(kept) == 1
    assert dropped(tally) == {"invalid_utf8": 1}


def test_a_file_above_the_document_cap_is_refused_or_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_text, "DOCUMENT_CAP_BYTES", 10)
    (tmp_path / "a.txt").write_bytes(b"x" * 11)
    (tmp_path / "b.txt").write_bytes(b"y" * 10)
    with pytest.raises(InputError, match="longer than 10 bytes"):
        read_all(tmp_path)
    documents, tally = read_all(tmp_path, errors="skip")
    assert texts_of(documents) == ["y" * 10]
    assert dropped(tally) == {"too_long": 1}


def test_a_file_that_cannot_be_opened_follows_the_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text("secret")
    (tmp_path / "b.txt").write_text("public")

    def refusing(path: str, *arguments: object, **options: object) -> object:
        if str(path).endswith("a.txt"):
            raise PermissionError(13, "Permission denied", path)
        return open(path, *arguments, **options)  # type: ignore[call-overload]

    monkeypatch.setattr("batchwright.documents.streams.open", refusing, raising=False)
    with pytest.raises(InputError, match="permission denied"):
        read_all(tmp_path)
    documents, tally = read_all(tmp_path, errors="skip")
    assert texts_of(documents) == ["public"]
    assert dropped(tally) == {"unreadable": 1}


def test_an_unknown_policy_is_refused_with_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(InputError) as caught:
        read_all(tmp_path, errors="skp")  # type: ignore[arg-type]
    assert caught.value.remedy == "'skip'"
