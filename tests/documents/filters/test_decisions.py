"""Every filter decides as its twin in plain Python does, on any text, and never raises."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchwright.documents.document import Document
from batchwright.documents.filters.c4 import C4Quality
from batchwright.documents.filters.code import CodeQuality
from batchwright.documents.filters.fineweb import FineWebQuality
from batchwright.documents.filters.gopher_quality import GopherQuality
from batchwright.documents.filters.gopher_repetition import GopherRepetition
from batchwright.documents.filters.words import word_count
from batchwright.documents.pipeline import Dropped
from batchwright.documents.presets import PRESETS, preset
from batchwright.foundation.errors import InputError
from tests.documents.filters import reference
from tests.documents.filters.texts import TEXTS


def after(step: Any, text: str) -> Document | Dropped:
    return step(Document(text.encode(), 0, 0, 0))


def reason(step: Any, text: str) -> str:
    answer = after(step, text)
    return answer.reason if isinstance(answer, Dropped) else ""


@given(TEXTS)
@settings(max_examples=150, deadline=None)
def test_repetition_is_found_as_the_twin_finds_it(text: str) -> None:
    assert reason(GopherRepetition(), text) == reference.gopher_repetition(text)


@given(TEXTS, st.sampled_from([50, 1]))
@settings(max_examples=150, deadline=None)
def test_quality_is_judged_as_the_twin_judges_it(text: str, least: int) -> None:
    assert reason(GopherQuality(min_words=least), text) == reference.gopher_quality(text, min_words=least)


@given(TEXTS, st.booleans())
@settings(max_examples=150, deadline=None)
def test_lines_are_kept_as_the_twin_keeps_them(text: str, terminal_punctuation: bool) -> None:
    answer = after(C4Quality(terminal_punctuation=terminal_punctuation), text)
    expected, edited = reference.c4(text, terminal_punctuation=terminal_punctuation)
    if isinstance(answer, Dropped):
        assert answer.reason == expected
    else:
        assert (expected, edited) == ("", answer.text)
        assert word_count(answer) == len(reference.words(edited))  # the number it leaves for the next filter


@given(TEXTS)
@settings(max_examples=150, deadline=None)
def test_lists_are_found_as_the_twin_finds_them(text: str) -> None:
    assert reason(FineWebQuality(), text) == reference.fineweb(text)


@given(st.text(), st.sampled_from(sorted(PRESETS)), st.sampled_from(["en", "de", "zh", "th"]))
@settings(max_examples=100, deadline=None)
def test_any_text_gets_a_decision_in_any_language(text: str, name: str, language: str) -> None:
    document: Document | Dropped = Document(text.encode("utf-8", "replace"), 0, 0, 0)
    for step in preset(name, language):
        if isinstance(document, Document):
            document = step(document)
    assert isinstance(document, Document) or document.reason


def test_the_offending_number_stands_beside_the_reason() -> None:
    answer = after(GopherQuality(), "too short")
    assert answer == Dropped("gopher_short_doc", "2 < 50")


def test_a_rule_is_off_at_a_threshold_that_no_text_breaks() -> None:
    assert reason(GopherQuality(min_words=0, min_stop_words=0), "many words here") == ""


def test_generated_code_is_dropped() -> None:
    assert reason(CodeQuality(), "x = 1\n" * 3) == ""
    assert reason(CodeQuality(), "x" * 1001) == "code_long_line"
    assert reason(CodeQuality(), ("x" * 150 + "\n") * 3) == "code_long_lines"
    assert reason(CodeQuality(), "(){}[];;\n" * 3) == "code_few_letters"


def test_chinese_prose_is_kept_when_the_language_is_named() -> None:
    text = "".join(
        f"这是第{number}个句子，它说的是不一样的事情，而且有一些人在中国读过它。\n" for number in "一二三四五六七八"
    )
    assert reason(GopherQuality(), text) == "gopher_short_doc"
    # Its lines are made of one pattern, so Gopher's repetition filter is left out.
    judged = [step for step in (*preset("gopher", "zh"), *preset("c4", "zh")) if step.name != "gopher_repetition"]
    assert [reason(step, text) for step in judged] == [""] * len(judged)


@pytest.mark.parametrize("bad", [{"min_words": -1}, {"min_words": True}, {"max_bullet_lines": float("nan")}])
def test_a_threshold_is_a_number(bad: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(bad))):
        GopherQuality(**bad)


def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(InputError, match="language 'zz'"):
        GopherQuality(language="zz")
