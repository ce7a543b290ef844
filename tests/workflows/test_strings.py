"""One table, two languages: the same phrases with the same placeholders."""

import re
from string import Formatter

import pytest

from batchwright.workflows.strings import PHRASES, choose_language, phrase


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("key", sorted(PHRASES))
def test_both_languages_say_the_same(key: str) -> None:
    english, chinese = PHRASES[key]
    assert english.strip()
    assert chinese.strip()
    assert placeholders(english) == placeholders(chinese)


@pytest.mark.parametrize("key", sorted(PHRASES))
def test_chinese_is_chinese_and_english_is_not(key: str) -> None:
    english, chinese = PHRASES[key]
    assert re.search(r"[\u4e00-\u9fff]", chinese), "Chinese has Chinese characters"
    assert not re.search(r"[\u4e00-\u9fff]", english)


def test_the_locale_decides_when_nobody_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    assert choose_language("auto") == "zh"
    assert choose_language("en") == "en"
    monkeypatch.setenv("LC_ALL", "C")
    assert choose_language("auto") == "en"


def test_a_phrase_takes_its_values() -> None:
    assert phrase("doctor.ok", "zh") != phrase("doctor.ok", "en")
