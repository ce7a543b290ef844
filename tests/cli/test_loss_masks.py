"""A loss mask all the way: imported, verified, shown, measured, trained on, exported."""

from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batchwright.cli.main import main
from tests.cli.conftest import RECIPE, Run

VOCABULARY, EOT = 320, 319


def write_dialogues(path: Path, documents: int, seed: int) -> tuple[int, int]:
    """Questions that are masked and answers that are not, <endoftext> after each; (tokens, masked)."""
    rng = np.random.default_rng(seed)
    asked, answered = rng.integers(1, 30, documents), rng.integers(1, 50, documents)
    ids = [[*rng.integers(0, EOT, n).tolist(), EOT] for n in (asked + answered).tolist()]
    masks = [[0] * question + [1] * (answer + 1) for question, answer in zip(asked, answered, strict=True)]
    pq.write_table(pa.table({"input_ids": ids, "loss_mask": masks}), path)
    return sum(map(len, ids)), int(asked.sum())


@pytest.fixture
def dialogues(tmp_path: Path) -> tuple[Path, int, int]:
    """(store, its training tokens, those masked)."""
    tokens, masked = write_dialogues(tmp_path / "train.parquet", 90, 0)
    write_dialogues(tmp_path / "held-out.parquet", 20, 1)
    words = ["import", "parquet", tmp_path / "train.parquet", "--validation", tmp_path / "held-out.parquet"]
    words += ["--vocabulary-size", VOCABULARY, "--eot-id", EOT, "--out", tmp_path / "store", "--json"]
    assert main([*map(str, words)]) == 0
    return tmp_path / "store", tokens, masked


def test_what_is_masked_is_shown_measured_and_verified(
    run: Run, dialogues: tuple[Path, int, int], capsys: pytest.CaptureFixture[str]
) -> None:
    store, tokens, masked = dialogues
    code, batch = run("show", store, "-B", 4, "-T", 32)
    mask, left_out = np.array(batch["loss_mask"]), np.array(batch["masked"])
    assert code == 0
    assert left_out.any()
    assert not (mask & left_out).any()
    assert ((np.array(batch["documents"]) >= 0) == (mask | left_out)).all()
    b, t = np.argwhere(left_out)[0].tolist()
    code, cell = run("show", store, "-B", 4, "-T", 32, "--cell", f"{b},{t}")
    assert (code, cell["masked"]) == (0, True)
    code, answer = run("measure", "coverage", store, "-T", 32, "--plot", store.parent / "coverage.png", "--compare")
    assert code == 0
    for each in answer["packings"]:
        total = each["total"]
        assert total["stored"] == tokens == total["targets"] + total["masked"] + sum(total["dropped"].values())
        assert total["slots"] == total["targets"] + total["masked"] + total["padding"]
    assert answer["packings"][0]["total"]["masked"] == masked
    assert run("verify", store)[0] == 0
    for language, word in (("en", "loss mask"), ("zh", "损失掩码")):
        capsys.readouterr()
        assert main(["show", str(store), "-B", "4", "-T", "32", "--lang", language]) == 0
        picture = capsys.readouterr().out
        assert "░" in picture
        assert word in picture
        assert main(["show", str(store), "-T", "32", "--cell", f"{b},{t}", "--lang", language]) == 0
        assert word in capsys.readouterr().out
        assert main(["measure", "coverage", str(store), "-T", "32", "--lang", language]) == 0
        assert word in capsys.readouterr().out


def test_a_format_without_masks_says_that_it_leaves_them_out(
    dialogues: tuple[Path, int, int], capsys: pytest.CaptureFixture[str]
) -> None:
    store, _, _ = dialogues
    for form, told in (("megatron", True), ("nanogpt", True), ("parquet", False)):
        capsys.readouterr()
        assert main(["export", str(store), str(store.parent / form), "--to", form, "--lang", "en"]) == 0
        assert ("no place for: loss mask" in capsys.readouterr().out) is told


def test_training_divides_by_the_targets_that_are_left(run: Run, dialogues: tuple[Path, int, int]) -> None:
    store, _, _ = dialogues
    recipe = store.parent / "masked.toml"
    recipe.write_text(RECIPE.format(store=store), encoding="utf-8")
    code, answer = run("train", recipe, "--out", store.parent / "run")
    assert code == 0, answer
    records = [orjson.loads(line) for line in (store.parent / "run" / "metrics.jsonl").read_bytes().splitlines()]
    steps = [record for record in records if "gradient_norm" in record]
    assert len(steps) == 8
    assert all(record["targets"] < 8 * 32 * 0.9 for record in steps)
    held_out = [record for record in records if "bits_per_byte" in record]
    assert held_out
    assert all(record["loss"] > 0 and record["bits_per_byte"] is None for record in held_out)
