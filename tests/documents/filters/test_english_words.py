"""Words are cut as the rules say: known examples, and any text against the twin of regular expressions."""

import pytest
from hypothesis import example, given, settings

from batchwright.documents.filters.english_exceptions import EXCEPTIONS
from batchwright.documents.filters.english_words import english_words, split
from tests.documents.filters import reference
from tests.documents.filters.texts import ANY


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("don't (see e.g. U.S.-made)!", "do n't ( see e.g. U.S.-made ) !"),
        ("vitamin-a. is well-known…", "vitamin - a. is well - known …"),
        ("https://example.org/a,b 10.0.0.1 8.8.8.8", "https://example.org/a,b 10.0.0.1 8.8.8.8"),
        ("5km 10a.m. US$3 3€ 20°C.", "5 km 10 a.m. US$ 3 3 € 20 ° C ."),
        ("one,two one.Two 1-2 a/b", "one , two one . Two 1 - 2 a / b"),
        ("word: (x", "word : ( x"),
    ],
)
def test_known_words(text: str, words: str) -> None:
    assert split(text) == words.split()


def test_every_exception_is_cut_as_listed() -> None:
    assert len(EXCEPTIONS) == 1343  # spaCy's 1,347 without four of white space
    assert all(tuple(split(text)) == parts for text, parts in EXCEPTIONS.items())


@given(ANY)
@settings(max_examples=300, deadline=None)
@example("x: ((word):")
@example("a.-b. a .")
def test_any_text_is_cut_as_the_twin_cuts_it(text: str) -> None:
    assert split(text) == reference.words(text)


@given(ANY)
@settings(max_examples=100, deadline=None)
def test_words_lie_end_to_end_between_white_space(text: str) -> None:
    assert "".join(split(text)) == "".join(text.split())


def test_a_script_without_blanks_is_cut_into_characters() -> None:
    words = english_words("他说hello世界。".encode(), unspaced=True)
    assert (words.stops - words.starts).tolist() == [1, 1, 5, 1, 1, 1]


def test_a_broken_rule_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    patterns = {**reference.patterns(), "infix": reference.re.compile("x")}
    monkeypatch.setattr(reference, "patterns", lambda: patterns)
    assert split("well-known") != reference.words("well-known")
