"""Steps that ask a model: they decide by its numbers, and the model's content belongs to the job."""

import shutil
from pathlib import Path
from typing import Any

import orjson
import pytest

from batchwright.documents.document import Document
from batchwright.documents.pipeline import Dropped, Step
from batchwright.documents.presets import PRESETS, steps_from_file
from batchwright.documents.scorers import LanguageScore, QualityScore
from batchwright.foundation.errors import InputError
from batchwright.tokens.partial import step_from_json, step_locations, step_to_json
from tests.documents.test_fasttext import MODELS, SAID
from tests.tokens.material import prepare, write_jsonl

MODEL = str(MODELS / "softmax.bin")
CHINESE, CODE = SAID["texts"][2], SAID["texts"][3]


def judged(step: Step, text: str) -> Document | Dropped:
    return step(Document(text.encode(), 0, 0, 0))


def test_a_language_is_kept_when_it_is_the_likeliest_and_likely_enough() -> None:
    answer = SAID["softmax"][2]
    best = max(answer, key=answer.get)
    assert isinstance(judged(LanguageScore(model=MODEL, keep=(best,), least=answer[best] - 1e-5), CHINESE), Document)
    other = next(label for label in answer if label != best)
    assert judged(LanguageScore(model=MODEL, keep=(other,), least=0), CHINESE) == Dropped(
        "language_score", f"{best} {answer[best]:.6g}"
    )
    strict = judged(LanguageScore(model=MODEL, keep=(best,), least=1), CHINESE)
    assert strict == Dropped("language_score", f"{best} {answer[best]:.6g} < 1")


def test_quality_is_the_probability_of_one_label() -> None:
    likely = SAID["softmax"][3]["code"]
    assert isinstance(judged(QualityScore(model=MODEL, label="code", least=likely - 1e-5), CODE), Document)
    dropped = judged(QualityScore(model=MODEL, label="code", least=1), CODE)
    assert dropped == Dropped("quality_score", f"{likely:.6g} < 1")


def test_no_preset_asks_a_model() -> None:
    assert not {name for steps in PRESETS.values() for name, _ in steps} & {"language_score", "quality_score"}


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('name = "language_score"\nmodel = "M"', "needs 'keep'"),
        ('name = "language_score"\nkeep = ["code"]', "needs 'model'"),
        ('name = "language_score"\nmodel = "M"\nkeep = "code"', "a list of labels"),
        ('name = "language_score"\nmodel = "M"\nkeep = ["chines"]', "'chinese'"),
        ('name = "quality_score"\nmodel = "M"\nlabel = "cod"', "'code'"),
        ('name = "quality_score"\nmodel = "M"\nlabel = "code"\nleast = 2', "from 0 to 1"),
        ('name = "quality_score"\nmodel = "absent.bin"\nlabel = "code"', "absent.bin"),
        ('name = "quality_score"\nmodel = 3\nlabel = "code"', "the path of a file"),
        ('name = "quality_score"\nmodel = "M"\nlabel = "code"\nmodel_hash = "00"', "not the one"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, table: str, said: str) -> None:
    path = tmp_path / "steps.toml"
    path.write_text(f"[[step]]\n{table}\n".replace('"M"', f'"{MODEL}"'))
    with pytest.raises(InputError) as caught:
        steps_from_file(path)
    assert said in str(caught.value)


def test_a_scorer_travels_without_its_place_in_what_is_compared(tmp_path: Path) -> None:
    moved = shutil.copy(MODEL, tmp_path / "moved.bin")
    here, there = QualityScore(model=MODEL, label="code"), QualityScore(model=str(moved), label="code")
    assert step_to_json(here) == step_to_json(there)
    assert str(tmp_path) not in orjson.dumps(step_to_json(there)).decode()
    assert step_from_json(step_to_json(there), step_locations(there)) == here
    languages = LanguageScore(model=MODEL, keep=("code", "chinese"))
    assert step_from_json(step_to_json(languages), step_locations(languages)) == languages


def test_a_store_says_why_and_refuses_another_model(tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "text.jsonl", [CHINESE, CODE, *(f"{CODE} {n}" for n in range(4))])
    model, kept = tmp_path / "model.bin", tuple(label for label in SAID["softmax"][2] if label != "chinese")
    shutil.copy(MODEL, model)

    def made(**changed: Any) -> Any:
        step = LanguageScore(model=str(model), keep=kept, least=0)
        return prepare(source, tmp_path / "store", steps=[step], validation_fraction=0.0, **changed)

    tally = made().manifest.tally
    assert tally["dropped"]["language_score"]["documents"] == 1
    moved = model.rename(tmp_path / "elsewhere.bin")
    model = moved
    made()  # the same job: the model only lies elsewhere
    shutil.copy(MODELS / "ova.bin", model)
    with pytest.raises(InputError, match="model_hash"):
        made()


def test_a_model_that_changes_while_texts_are_judged_is_refused(tmp_path: Path) -> None:
    model = tmp_path / "model.bin"
    shutil.copy(MODEL, model)
    step = QualityScore(model=str(model), label="code")
    judged(step, CODE)
    model.unlink()
    shutil.copy(MODELS / "ova.bin", model)
    with pytest.raises(InputError, match="not the one that the job began with"):
        judged(step, CODE)
