"""What cleaning changes, and that it changes nothing else."""

import unicodedata
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from batchwright.documents.cleaning import DEFAULT_STEPS, DropEmpty, NormalizeNewlines, NormalizeUnicode
from batchwright.documents.document import Document, DocumentFlag
from batchwright.documents.pipeline import Dropped, clean
from batchwright.documents.tally import Tally
from tests.documents.corpus import edited, read_all


def through(text: str) -> Document | None:
    """A text after the default steps, None when it was dropped."""
    tally = Tally()
    document = Document(text.encode(), 0, 0, 0)
    tally.read.add(1, len(document.utf8))
    kept = list(clean([document], DEFAULT_STEPS, tally))
    tally.check()
    return kept[0] if kept else None


@given(st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\r\n\0 e\u0301\u2028")))
def test_cleaning_equals_its_definition_and_a_second_time_changes_nothing(text: str) -> None:
    cleaned = through(text)
    expected = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n"))
    if "\0" in text or not expected.strip():
        assert cleaned is None
        return
    assert cleaned is not None
    assert (cleaned.text, cleaned.utf8) == (expected, expected.encode())
    assert bool(cleaned.flags & DocumentFlag.EDITED) == (expected != text)
    again = through(expected)
    assert again is not None
    assert (again.utf8, again.flags) == (cleaned.utf8, 0)


def test_a_step_that_changes_nothing_returns_the_same_document() -> None:
    for text in ("plain\n", "é", "中文"):
        document = Document(text.encode(), 0, 0, 0)
        assert all(step(document) is document for step in DEFAULT_STEPS)


def test_white_space_of_every_script_is_empty() -> None:
    assert isinstance(DropEmpty()(Document("\u3000\u00a0\n".encode(), 0, 0, 0)), Dropped)


def test_each_kind_of_edit_is_counted_with_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"a\r\nb\r")
    (tmp_path / "b.txt").write_bytes("e\u0301".encode())
    _, tally = read_all(tmp_path)
    assert edited(tally) == {"newlines": 1, "unicode_nfc": 1}
    assert (tally.edited["newlines"].bytes, tally.edited["unicode_nfc"].bytes) == (1, 1)


def test_steps_keep_where_a_document_stood() -> None:
    document = Document(b"e\xcc\x81\r", 3, 77, 2, DocumentFlag.REPAIRED)
    for step in (NormalizeNewlines(), NormalizeUnicode()):
        after = step(document)
        assert isinstance(after, Document)
        assert (after.file, after.offset, after.source) == (3, 77, 2)
        assert after.flags == DocumentFlag.REPAIRED | DocumentFlag.EDITED
