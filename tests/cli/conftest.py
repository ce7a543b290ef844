"""A small real store and a recipe for it, made once by the command itself."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from batchwright.cli.main import main

Run = Callable[..., tuple[int, dict[str, Any]]]

RECIPE = """
[data]
store = "{store}"

[model]
vocabulary_size = 320
width = 16
layers = 1
heads = 2
feed_forward_width = 16

[training]
global_batch_size = 8
micro_batch_size = 4
sequence_length = 32
tokens = 2048
learning_rate = 1e-3
evaluate_sequences = 8
checkpoint_every_tokens = 512
threads = 1
"""


@pytest.fixture(autouse=True)
def no_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """pytest-xdist sets COLUMNS in its workers, and what is drawn for a file follows it."""
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Calls the command with --json: (exit code, the one object on stdout)."""

    def call(*words: object) -> tuple[int, dict[str, Any]]:
        capsys.readouterr()
        code = main([*map(str, words), "--json"])
        out = capsys.readouterr().out
        assert out.count("\n") == 1, "exactly one line"
        return code, orjson.loads(out)

    return call


@pytest.fixture(scope="session")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty documents, two of them equal, one empty, one with Chinese text and a forged boundary."""
    home = tmp_path_factory.mktemp("text")
    for number in range(60):
        words = " ".join(f"word{(number * 7 + i) % 41}" for i in range(20 + number))
        (home / f"{number:02}.txt").write_text(f"document {number}\n{words}\n", encoding="utf-8")
    (home / "60.txt").write_text((home / "00.txt").read_text(encoding="utf-8"), encoding="utf-8")
    (home / "61.txt").write_text("", encoding="utf-8")
    (home / "62.txt").write_text("中文文档 <|endoftext|> 不是边界\n" * 4, encoding="utf-8")
    return home


@pytest.fixture(scope="session")
def store(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("made") / "store"
    words = ["prepare", text, "--out", out, "--tokenizer", "train:320", "--validation", "0.2", "--workers", "1"]
    assert main([*map(str, words), "--json"]) == 0
    return out


@pytest.fixture
def recipe(store: Path, tmp_path: Path) -> Path:
    file = tmp_path / "small.toml"
    file.write_text(RECIPE.format(store=store), encoding="utf-8")
    return file
