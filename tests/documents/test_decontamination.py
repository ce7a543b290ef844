"""Decontamination: every shared run of words is found, none else, and the reason names it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from batchwright.documents import decontamination, word_runs
from batchwright.documents.decontamination import Decontamination
from batchwright.documents.document import Document
from batchwright.documents.pipeline import Dropped
from batchwright.documents.word_runs import lowered, run_hashes, words_of
from batchwright.foundation.errors import InputError
from batchwright.tokens.rejected import read_rejected
from tests.tokens.material import prepare, texts, write_jsonl

FOX = "The quick brown fox jumps over the lazy dog while thirteen other animals watch it from afar"


def evaluation(place: Path, *records: object, name: str = "exam.jsonl") -> Path:
    (place / name).write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))
    return place / name


def judged(step: Decontamination, text: str) -> Document | Dropped:
    return step(Document(text.encode(), 0, 0, 0))


def test_a_document_that_shares_thirteen_words_is_dropped_and_the_reason_names_them(tmp_path: Path) -> None:
    step = Decontamination.of([evaluation(tmp_path, {"id": 7, "asked": {"question": FOX}, "choices": ["a", "b"]})])
    quoted = "He said: «the QUICK brown -- fox; jumps over\nthe lazy dog, while thirteen other animals» looked away."
    dropped = judged(step, quoted)
    assert isinstance(dropped, Dropped)
    assert dropped.reason == "contaminated"
    assert dropped.detail.startswith(
        "exam.jsonl: the quick brown -- fox; jumps over the lazy dog, while thirteen other"
    )
    assert isinstance(judged(step, quoted.replace("thirteen", "twelve")), Document)
    assert isinstance(judged(step, ""), Document)


def test_the_number_of_words_can_be_named(tmp_path: Path) -> None:
    file = evaluation(tmp_path, "one two three four")
    assert isinstance(judged(Decontamination.of([file], words=3), "zero two three four five"), Dropped)
    assert isinstance(judged(Decontamination.of([file], words=4), "zero two three four five"), Document)


def test_a_character_is_a_word_where_words_are_not_spaced(tmp_path: Path) -> None:
    file = evaluation(tmp_path, {"问": "以下哪一项是线粒体在细胞中的主要功能？"})
    step = Decontamination.of([file])
    assert isinstance(judged(step, "考试题：下哪一项是线粒体在细胞中的主要作用"), Dropped)
    assert isinstance(judged(step, "线粒体在细胞中的主要作用"), Document)


def test_a_text_file_is_one_text_and_the_second_file_is_named(tmp_path: Path) -> None:
    other = tmp_path / "poem.txt"
    other.write_text("so much depends upon a red wheel barrow glazed with rain water beside the white chickens")
    step = Decontamination.of([evaluation(tmp_path, FOX), other])
    dropped = judged(step, "x " + other.read_text().upper())
    assert isinstance(dropped, Dropped)
    assert dropped.detail.startswith("poem.txt: so much")


WORDS = some.lists(some.sampled_from(["a", "b", "c", "Été", "漢", "12"]), max_size=40)


def shares(evaluated: list[str], text: list[str], length: int) -> bool:
    """What it means, written plainly."""
    runs = {tuple(evaluated[n : n + length]) for n in range(len(evaluated) - length + 1)}
    return any(tuple(text[n : n + length]) in runs for n in range(len(text) - length + 1))


@settings(max_examples=100, deadline=None)
@given(WORDS, WORDS)
def test_a_run_is_found_exactly_where_there_is_one(evaluated: list[str], text: list[str]) -> None:
    first, second = (run_hashes(words_of(lowered(" ".join(words).encode()))[0], 4) for words in (evaluated, text))
    assert bool(np.isin(second, first).any()) == shares(evaluated, text, 4)


def test_a_twin_that_forgets_to_take_the_oldest_word_away_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def growing(words: np.ndarray, length: int) -> np.ndarray:
        return np.cumsum(words)[length - 1 :]

    monkeypatch.setattr(word_runs, "run_hashes", growing)
    first, second = (word_runs.run_hashes(words_of(text)[0], 4) for text in (b"x a b c d", b"y a b c d"))
    assert bool(np.isin(second, first).any()) != shares(list("xabcd"), list("yabcd"), 4)


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (b"{\n", "a.jsonl", "line 1 of the evaluation file is no JSON"),
        (b"\xff\xfe", "a.txt", "not UTF-8"),
        (b'{"question": "too short"}\n', "a.jsonl", "no text of this evaluation file has 13 words"),
        (b"", "a.txt", "no text of this evaluation file has 13 words"),
    ],
)
def test_a_file_in_which_nothing_could_be_found_is_refused(
    content: bytes, name: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        Decontamination.of([tmp_path / name])
    assert name in str(caught.value.where)


def test_a_file_that_changed_since_it_was_named_is_refused(tmp_path: Path) -> None:
    file = evaluation(tmp_path, FOX)
    step = Decontamination.of([file])
    file.write_text(json.dumps(FOX + " again") + "\n")
    decontamination._runs.cache_clear()
    with pytest.raises(InputError, match="not the one that the job began with"):
        judged(step, FOX)


@pytest.mark.parametrize("words", [1, 1001])
def test_an_overlap_has_2_to_1000_words(words: int, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="2 to 1,000"):
        Decontamination.of([evaluation(tmp_path, FOX)], words=words)


def test_a_store_drops_counts_and_keeps_what_is_contaminated(tmp_path: Path) -> None:
    text = write_jsonl(tmp_path / "in.jsonl", [*texts(), f"Once more: {FOX}!", f"{FOX} and again"])
    exam = evaluation(tmp_path, {"question": FOX})
    step = Decontamination.of([exam])
    settings: dict[str, Any] = {"decontamination": step, "keep_rejected": True, "validation_fraction": 0.0}
    store = prepare(text, tmp_path / "store", **settings)
    assert store.manifest.tally["dropped"]["contaminated"]["documents"] == 2
    assert store.manifest.recipe["decontamination"]["files"] == [{"name": "exam.jsonl", "xxh3": step.files[0].xxh3}]
    found = list(read_rejected(store.directory, "contaminated", 9))
    assert [line["text"] for line in found] == [f"Once more: {FOX}!", f"{FOX} and again"]
    assert all(line["detail"].startswith("exam.jsonl: the quick brown fox") for line in found)
    # The file may lie elsewhere when the job is called again, as long as it is the same.
    (tmp_path / "moved").mkdir()
    exam.rename(tmp_path / "moved" / exam.name)
    moved = Decontamination.of([tmp_path / "moved" / exam.name])
    assert prepare(text, tmp_path / "store", **{**settings, "decontamination": moved}).fingerprint == store.fingerprint
    other = Decontamination.of([evaluation(tmp_path, {"question": FOX + " too"})])
    with pytest.raises(InputError, match=r"decontaminate: .* → "):
        prepare(text, tmp_path / "store", **{**settings, "decontamination": other})
