"""`measure corpus`, `prepare --dry-run` and the pages beside a store, as a user calls them."""

import json
from pathlib import Path

import pytest

from batchwright.cli.main import main

TEXT = "the story of the men who have to be with that and that "


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("text")
    for number in range(12):
        (place / f"{number:02d}.txt").write_text(f"{number} " + TEXT * (number + 1))
    (place / "again.txt").write_text("0 " + TEXT)
    return place


@pytest.fixture(scope="module")
def store(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "store"
    command = ["prepare", str(text), "--out", str(out), "--workers", "1", "--lang", "en", "--validation", "0.3"]
    assert main([*command, "--licence", "CC0-1.0"]) == 0
    return out


def test_a_store_has_its_report_and_its_card_beside_it(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report, card = (store / "report.md").read_text(), (store / "README.md").read_text()
    assert "| dropped: the same text again (duplicate) | 1 | 57 |" in report
    assert "the same text again (duplicate)" in report
    assert "NormalizeNewlines()" in report
    assert card.startswith("---\nlicense: CC0-1.0\nlanguage:\n- en\nsize_categories:\n- n<1K\n")
    assert "| text | CC0-1.0 |" in card
    assert main(["verify", str(store)]) == 0  # which do not belong to it


def test_pages_that_stand_as_they_should_are_left_alone(store: Path, text: Path) -> None:
    before = {name: (store / name).stat().st_mtime_ns for name in ("report.md", "README.md")}
    command = ["prepare", str(text), "--out", str(store), "--workers", "1", "--lang", "en", "--validation", "0.3"]
    assert main([*command, "--licence", "CC0-1.0"]) == 0
    assert {name: (store / name).stat().st_mtime_ns for name in before} == before


def test_an_unknown_licence_is_said(text: Path, tmp_path: Path) -> None:
    assert main(["prepare", str(text), "--out", str(tmp_path / "s"), "--workers", "1", "--lang", "en"]) == 0
    card = (tmp_path / "s" / "README.md").read_text()
    assert "license: unknown" in card
    assert "The licence of text is unknown" in card


def test_measure_corpus_counts_draws_and_answers_in_json(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["measure", "corpus", str(store), "--json", "--plot", str(tmp_path / "corpus.png")]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["documents"] + facts["tally"]["dropped"]["duplicate"]["documents"] < 13  # some are held out
    assert facts["languages"][0]["name"] == "en"
    assert facts["licences"] == {"text": "CC0-1.0"}
    assert (tmp_path / "corpus.png").read_bytes().startswith(b"\x89PNG")
    for lang in ("en", "zh"):
        assert main(["measure", "corpus", str(store), "--lang", lang, "--split", "validation"]) == 0
    assert "语言" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["--sample", "0"], ["--split", "none"]])
def test_what_cannot_be_measured_is_refused(store: Path, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["measure", "corpus", str(store), *words]) in (1, 2)
    assert words[1] in capsys.readouterr().err


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_dry_run_says_what_would_be_and_writes_nothing(
    text: Path, tmp_path: Path, lang: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["prepare", str(text), "--out", str(tmp_path / "store"), "--dry-run", "--clean", "fineweb"]
    assert main([*command, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["dry_run"], answer["files"], answer["documents"]["value"]) == (True, 13, 13)
    assert answer["not_rehearsed"] == []
    assert main([*command, "--lang", lang, "--repeat", "2", "--fim", "0.5"]) == 0
    said = capsys.readouterr().out
    assert "repeat, fim" in said
    assert "13" in said
    assert "%" in said  # most of it goes, and that is said aloud
    assert list(tmp_path.iterdir()) == []
