"""Presets and lists of steps: by name, with one's own thresholds, and what is said about a typo."""

from pathlib import Path

import pytest

from batchwright.documents.document import Document
from batchwright.documents.filters.gopher_quality import GopherQuality
from batchwright.documents.presets import PRESETS, preset, steps_from_file
from batchwright.foundation.errors import InputError
from batchwright.tokens.partial import step_from_json, step_to_json


@pytest.mark.parametrize("name", sorted(PRESETS))
@pytest.mark.parametrize("language", ["en", "zh", "th"])
def test_a_preset_travels_to_workers_and_back(name: str, language: str) -> None:
    for step in preset(name, language):
        assert step_from_json(step_to_json(step)) == step


def test_the_order_of_fineweb() -> None:
    repairs = ["mail", "html", "mojibake", "control_characters"]
    filters = ["gopher_repetition", "gopher_quality", "c4_quality", "fineweb_quality", "personal_data"]
    assert [step.name for step in preset("fineweb")] == repairs + filters


@pytest.mark.parametrize("text", ["Plain prose.\n\nWith é, 中文 and a < b.\n", "for (i = 0; i < n; i++) {}\n"])
def test_what_needs_no_repair_reaches_the_filters_as_it_is(text: str) -> None:
    document = Document(text.encode(), 0, 0, 0)
    assert all(step(document) is document for step in preset("repairs"))


def test_a_file_lists_steps_with_thresholds(tmp_path: Path) -> None:
    path = tmp_path / "steps.toml"
    path.write_text('[[step]]\nname = "gopher_quality"\nmin_words = 20\n')
    assert steps_from_file(path) == (GopherQuality(min_words=20),)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[step]]\nname = "gopher_qualty"\n', "gopher_quality"),
        ('[[step]]\nname = "gopher_quality"\nmin_word = 3\n', "min_words"),
        ('[[step]]\nname = "gopher_quality"\nlanguage = "xx"\n', "'xx'"),
        ('[[step]]\nname = "gopher_quality"\nmin_words = "many"\n', "min_words"),
        ("[[step]]\nmin_words = 3\n", "no name"),
        ("steps = 3\n", "lists no steps"),
        ("= 3", "no TOML"),
    ],
)
def test_a_wrong_list_says_what_is_wrong(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "steps.toml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        steps_from_file(path)
    assert said in str(caught.value)
    assert "steps.toml" in str(caught.value)


def test_an_unknown_preset_or_language_is_named() -> None:
    with pytest.raises(InputError, match="finweb"):
        preset("finweb")
    with pytest.raises(InputError, match="'xx'"):
        preset("fineweb", "xx")
