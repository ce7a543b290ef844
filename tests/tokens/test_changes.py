"""A refusal names what differs, in the words of who asked, and nothing that is the same."""

from typing import Any

import pytest

from batchwright.documents.cleaning import DEFAULT_STEPS
from batchwright.documents.decontamination import Decontamination, EvaluationFile
from batchwright.documents.filters.gopher_quality import GopherQuality
from batchwright.documents.html import HtmlToText
from batchwright.documents.near_duplicates import NearDuplicates
from batchwright.documents.presets import preset
from batchwright.tokens.changes import differences
from batchwright.tokens.infilling import Infilling
from batchwright.tokens.job import PrepareSettings

EXAM = Decontamination(files=(EvaluationFile(name="exam.jsonl", xxh3="0" * 32, location="exam.jsonl"),))


def cleaned(name: str, language: str = "en") -> dict[str, Any]:
    return {"steps": (*DEFAULT_STEPS, *preset(name, language))}


def steps(*listed: Any) -> dict[str, Any]:
    return {"steps": (*DEFAULT_STEPS, *listed)}


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        ({}, {}, []),
        (cleaned("none"), cleaned("fineweb"), ["clean: none → fineweb"]),
        (cleaned("fineweb"), cleaned("fineweb", "ja"), ["language: en → ja"]),
        (cleaned("gopher"), cleaned("fineweb", "de"), ["clean: gopher → fineweb", "language: en → de"]),
        (
            steps(GopherQuality()),
            steps(GopherQuality(min_words=20)),
            ["step gopher_quality, min_words: 50 → 20"],
        ),
        (steps(GopherQuality()), steps(HtmlToText()), ["steps added: html", "steps gone: gopher_quality"]),
        (
            steps(HtmlToText(), GopherQuality()),
            steps(GopherQuality(), HtmlToText()),
            [
                "order of steps: binary, newlines, unicode_nfc, empty, html, gopher_quality → "
                "binary, newlines, unicode_nfc, empty, gopher_quality, html"
            ],
        ),
        (steps(HtmlToText()), steps(HtmlToText(), HtmlToText()), ["steps added: html (2)"]),
        ({}, {"near_duplicates": NearDuplicates()}, ["near_duplicates: off → drop"]),
        (
            {"near_duplicates": NearDuplicates()},
            {"near_duplicates": NearDuplicates(min_similarity=0.8)},
            ["near_duplicates, min_similarity: 0.7 → 0.8"],
        ),
        ({"infilling": Infilling(rate=0.5)}, {}, ["fim: 0.5 → 0"]),
        ({}, {"decontamination": EXAM}, ["decontaminate: none → exam.jsonl (00000000)"]),
        ({}, {"against": ["0123456789abcdef"]}, ["against: none → 01234567"]),
        ({}, {"validation_fraction": 0.1, "seed": 1}, ["seed: 0 → 1", "validation: 0.0 → 0.1"]),
    ],
)
def test_only_what_differs_is_named(before: dict[str, Any], now: dict[str, Any], said: list[str]) -> None:
    old, new = ({"recipe": PrepareSettings(**settings).to_json()} for settings in (before, now))
    assert differences(old, new) == said


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        ({"sources": [{"name": "a"}]}, {"sources": [{"name": "b"}]}, "sources: a → b"),
        (
            {"sources": [{"name": "a", "licence": "unknown"}]},
            {"sources": [{"name": "a", "licence": "MIT"}]},
            "source a, licence: unknown → MIT",
        ),
        (
            {"tokenizer": {"hash": "a" * 32, "vocabulary_size": 257, "eot_token": "x"}},
            {"tokenizer": {"hash": "b" * 32, "vocabulary_size": 4096, "eot_token": "y"}},
            "tokenizer: 257 ids (aaaaaaaa) → 4,096 ids (bbbbbbbb)",
        ),
        ({"recipe": "damaged"}, {"recipe": {}}, "recipe: damaged → none"),
        ({"recipe": {"steps": 7}}, {"recipe": {"steps": []}}, "recipe, steps: 7 → []"),
        ({"other": {"kind": 1}}, {"other": {"kind": 2}}, "other, kind: 1 → 2"),
    ],
)
def test_whatever_a_record_holds_a_difference_is_named(before: Any, now: Any, said: str) -> None:
    assert differences(before, now) == [said]
