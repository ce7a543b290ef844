"""Text that was decoded wrongly is repaired, other text is not touched, and the cheap test misses nothing known."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwright.documents.document import Document
from batchwright.documents.mojibake import RepairMojibake, is_suspect
from batchwright.foundation.extras import MissingExtraError

WHOLE = [
    "It’s “déjà vu” – naïve café, 20 €.",
    "Füße, größer, Ärger; «été», señor ¿qué?",
    "Съешь же ещё этих мягких французских булок",
    "天地间，人为贵。これはペンです。",
    "Žluťoučký kůň, żółć, çağrı",
]


def through(text: str) -> str:
    after = RepairMojibake()(Document(text.encode(), 0, 0, 0))
    assert isinstance(after, Document)
    return after.text


@pytest.mark.parametrize("text", WHOLE)
def test_whole_text_stays(text: str) -> None:
    assert through(text) == text


@pytest.mark.parametrize("codec", ["latin-1", "cp1252"])
@pytest.mark.parametrize("text", [WHOLE[0], WHOLE[1], "naïve — “quoted” …"])
def test_utf_8_that_was_read_as_something_else_is_read_again(text: str, codec: str) -> None:
    broken = "".join(bytes([byte]).decode(codec, "ignore") or chr(byte) for byte in text.encode())
    assert through(f"whole: €\n{broken}\nwhole: ’") == f"whole: €\n{text}\nwhole: ’"


def test_a_document_that_only_mentions_it_is_repaired_by_the_line() -> None:
    assert through("café\nâ€™\ncafé") == "café\n’\ncafé"


def test_what_is_clean_needs_no_extra_and_what_is_not_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ftfy", None)
    for text in ("plain", "café", "中文"):
        assert through(text) == text
    with pytest.raises(MissingExtraError, match=r"batchwright\[text\]"):
        through("donâ€™t")


@given(st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("ÃâÂ€™©ðŸ˜\x80\xa0\xad í")))
def test_any_text_stays_utf_8_with_its_lines(text: str) -> None:
    cleaned = through(text)
    assert cleaned.encode().count(b"\n") == text.count("\n")


def test_a_line_of_any_length_is_repaired_in_pieces() -> None:
    assert through("â€™ " * 150_000).count("’") > 149_000


def test_ascii_and_chinese_never_cost_a_repair() -> None:
    assert not is_suspect(b"plain")
    assert not is_suspect("天地间，人为贵。".encode())
