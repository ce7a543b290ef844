"""One table, two languages: the same phrases with the same placeholders, and every phrase is used."""

import re
from pathlib import Path
from string import Formatter

import pytest

from batchwright.workflows import strings
from batchwright.workflows.strings import Say, choose_language, phrases

SOURCES = [p.read_text(encoding="utf-8") for p in Path(strings.__file__).parents[1].rglob("*.py")]


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("key", sorted(phrases()))
def test_both_languages_say_the_same(key: str) -> None:
    phrase = phrases()[key]
    assert set(phrase) == {"en", "zh"}
    assert placeholders(phrase["en"]) == placeholders(phrase["zh"])
    assert re.search(r"[\u4e00-\u9fff]", phrase["zh"]), "Chinese has Chinese characters"
    assert not re.search(r"[\u3000-\u9fff]", phrase["en"])


def test_a_table_with_a_lost_placeholder_would_be_caught() -> None:
    assert placeholders("{rows} rows of {length}") != placeholders("每行 {length}")


def keys_said() -> list[re.Pattern[str]]:
    """Every string and f-string of the package as a pattern; what stands in braces may be anything."""
    literals = {literal for source in SOURCES for literal in re.findall(r'"([\w.]+(?:\{[^}"]*\}[\w.]*)*)"', source)}
    return [re.compile(re.sub(r"\\\{.*?\\\}", "[\\\\w]+", re.escape(literal))) for literal in sorted(literals)]


def test_every_phrase_is_said_somewhere() -> None:
    said = keys_said()
    assert [key for key in phrases() if not any(pattern.fullmatch(key) for pattern in said)] == [], "delete them"


def test_the_locale_decides_when_nobody_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    assert choose_language("auto") == "zh"
    assert choose_language("en") == "en"
    monkeypatch.setenv("LC_ALL", "C")
    assert choose_language("auto") == "en"


def test_a_phrase_takes_its_values() -> None:
    for language in ("en", "zh"):
        assert "2,048" in Say(language)("train.begin.near", loss="7.6", uniform="7.62", vocabulary="2,048")
