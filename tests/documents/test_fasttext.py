"""Our reader says what fastText says (answers kept from fastText 0.9.2: `python -m benchmarks.scorers … --tiny`)."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from batchwright.documents.fasttext import FastTextModel, open_fasttext
from batchwright.documents.fasttext_file import read_fasttext
from batchwright.foundation.errors import InputError

MODELS = Path(__file__).parent / "fasttext_models"
SAID: dict[str, Any] = json.loads((MODELS / "answers_of_the_library.json").read_bytes())
LOSSES = ("softmax", "hs", "ova", "ns")


def largest_difference(model: FastTextModel, loss: str) -> float:
    differences = [0.0]
    for text, answer in zip(SAID["texts"], SAID[loss], strict=True):
        mine = model.probabilities(text.encode())
        differences += [abs(mine[model.labels.index(label)] - number) for label, number in answer.items()]
    return max(differences)


@pytest.mark.parametrize("loss", LOSSES)
def test_probabilities_are_the_library_s(loss: str) -> None:
    model, _ = open_fasttext(MODELS / f"{loss}.bin")
    assert sorted(model.labels) == sorted(SAID[loss][0])
    assert model.file.loss == loss
    assert largest_difference(model, loss) < 1e-6


def test_a_reader_that_errs_would_be_noticed(tmp_path: Path) -> None:
    """Broken twins: word n-grams, pieces of words or the tree left out, one number of the output."""
    content = bytearray((MODELS / "hs.bin").read_bytes())
    argument = {name: 8 + 4 * place for place, name in enumerate(("dim", "ws", "epoch", "minCount", "neg", "ngrams"))}
    breaks = {
        "ngrams": (argument["ngrams"], 1),
        "pieces": (8 + 4 * 10, 0),
        "loss": (8 + 4 * 6, 3),
        "number": (-4 * 9 * 4 + 3, 1),
    }
    for name, (place, value) in breaks.items():
        broken = bytearray(content)
        broken[place] = value
        (tmp_path / f"{name}.bin").write_bytes(broken)
        assert largest_difference(FastTextModel(read_fasttext(tmp_path / f"{name}.bin")), "hs") > 1e-5, name


def test_a_text_that_a_model_knows_nothing_of_has_no_label(tmp_path: Path) -> None:
    content = (MODELS / "softmax.bin").read_bytes().replace(b"</s>\0", b"<<<>\0", 1)
    path = tmp_path / "endless.bin"
    path.write_bytes(content)
    assert not FastTextModel(read_fasttext(path)).probabilities(b" \n").any()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda content: b"no model", "too short"),
        (lambda content: b"x" * 500, "it begins with"),
        (lambda content: content[:16] + content[16:][:20] + b"\x02" + content[37:], "word vectors"),
        (lambda content: content[:-1], "cut short"),
        (lambda content: content[:1700], "dictionary is damaged"),
        (lambda content: content[:64] + b"\x7f" + content[65:], "contradict"),
    ],
)
def test_what_is_no_classifier_is_refused(tmp_path: Path, change: Any, said: str) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(change((MODELS / "softmax.bin").read_bytes()))
    with pytest.raises(InputError, match=said) as caught:
        read_fasttext(path)
    assert "model.bin" in str(caught.value)


def test_a_quantised_model_is_refused_by_name(tmp_path: Path) -> None:
    content = (MODELS / "softmax.bin").read_bytes()
    model = read_fasttext(MODELS / "softmax.bin")
    flag = len(content) - 2 * 17 - 4 * (model.input.size + model.output.size)
    assert content[flag] == 0
    (tmp_path / "model.ftz").write_bytes(content[:flag] + b"\1" + content[flag + 1 :])
    with pytest.raises(InputError, match="quantised"):
        read_fasttext(tmp_path / "model.ftz")
    with pytest.raises(InputError):
        read_fasttext(tmp_path / "absent.bin")


def test_damage_anywhere_is_refused_or_harmless(tmp_path: Path) -> None:
    content, random = (MODELS / "hs.bin").read_bytes(), np.random.default_rng(0)
    opened = 0
    for number in range(300):
        broken = bytearray(content[: len(content) - (0 if number % 3 else int(random.integers(1, len(content))))])
        for _ in range(number % 4):
            broken[int(random.integers(0, min(150, len(broken))))] = int(random.integers(0, 256))
        path = tmp_path / f"{number}.bin"
        path.write_bytes(broken)
        try:
            model = FastTextModel(read_fasttext(path))
        except InputError:
            continue
        opened += 1
        assert model.probabilities("the people 中文".encode()).shape == (len(model.labels),)
    assert 0 < opened < 300
