"""Invisible characters go, line ends become one, and what scripts are spelled with stays."""

import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwright.documents.characters import RemoveControlCharacters, may_hold_controls
from batchwright.documents.document import Document
from batchwright.documents.pipeline import Dropped

ALL = "".join(chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000)
NEWLINES = "\x0b\x0c\r\x85\u2028\u2029"
KEPT_FORMATS = "\u200c\u200d"


def through(text: str) -> str:
    after = RemoveControlCharacters()(Document(text.encode(), 0, 0, 0))
    return "" if isinstance(after, Dropped) else after.text


def test_of_all_characters_exactly_the_documented_ones_change() -> None:
    lines = through("".join(f"<{each}>" for each in ALL))[1:-1].split("><")
    changed = {each for each, after in zip(ALL, lines, strict=True) if after != each}
    documented = set(NEWLINES + "\xad\u061c\u200b\u200e\u200f\ufeff\ufff9\ufffa\ufffb")
    documented |= {each for each in map(chr, range(0xA0)) if unicodedata.category(each) == "Cc"} - set("\t\n")
    documented |= {chr(code) for first, stop in ((0x202A, 0x202F), (0x2060, 0x2070)) for code in range(first, stop)}
    documented |= {chr(code) for code in range(0xE0000, 0xE0080)}
    assert changed == documented
    assert not changed & set(KEPT_FORMATS)
    assert all(through(f"a{each}b") == "a\nb" for each in NEWLINES)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("a\u202eb\u202cc", "abc"),
        ("👩\u200d💻 می\u200cخواهم", "👩\u200d💻 می\u200cخواهم"),
        ("🏴\U000e0067\U000e0062\U000e007f a\U000e0041b", "🏴\U000e0067\U000e0062\U000e007f ab"),
        ("page\x0cpage", "page\npage"),
    ],
)
def test_examples(text: str, cleaned: str) -> None:
    assert through(text) == cleaned


def test_a_text_of_nothing_visible_is_empty() -> None:
    after = RemoveControlCharacters()(Document("\u200b\ufeff\x1b[0m".encode(), 0, 0, 0))
    assert isinstance(after, Dropped)
    assert after.reason == "empty"


@given(st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\x1b[0m\u200b\r\n\U0001f3f4\U000e0041")))
def test_a_second_time_changes_nothing_and_the_cheap_test_is_right(text: str) -> None:
    cleaned = through(text)
    assert through(cleaned) == cleaned
    assert cleaned == text or not cleaned.strip() or may_hold_controls(np.frombuffer(text.encode(), np.uint8))
