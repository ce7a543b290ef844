"""The command on two ranks, as torchrun starts them: a rank killed and restarted leaves no trace, a rank asked to end
ends all of them with a checkpoint, and ranks that disagree say so and end."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import psutil
import pytest

from batchwright.cli.main import main
from batchwright.training.run_log import read_log
from tests.tokens.material import prepare, texts, write_jsonl

RECIPE = """
[data]
store = "{store}"

[model]
vocabulary_size = 320
width = 32
layers = 2
heads = 2
feed_forward_width = 64

[training]
global_batch_size = 15
micro_batch_size = 2
sequence_length = 64
tokens = 57600
learning_rate = 1e-3
evaluate_every_tokens = 20000
evaluate_sequences = 5
checkpoint_every_tokens = 4800
threads = 1
"""  # 60 steps, a checkpoint every 5


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("torchrun")
    prepare(write_jsonl(place / "text.jsonl", texts(200)), place / "store")
    path = place / "recipe.toml"
    path.write_text(RECIPE.format(store=place / "store"))
    return path


@pytest.fixture(scope="module")
def alone(recipe: Path) -> Path:
    run = recipe.parent / "alone"
    assert main(["train", str(recipe), "--out", str(run), "--json"]) == 0
    return run


def torchrun(
    *words: object, verb: str = "train", ranks: int = 2, restarts: int = 0, rendezvous: str = "static"
) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(ranks)]
    command += ["--max-restarts", str(restarts), "--rdzv-backend", rendezvous]
    command += ["--rdzv-endpoint", "localhost:0"] if rendezvous == "c10d" else []
    command += ["-m", "batchwright", *verb.split(), *map(str, words)]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def records(run: Path) -> list[dict[str, Any]]:
    return read_log(run / "metrics.jsonl") if (run / "metrics.jsonl").exists() else []


def when(condition: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    until = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.02)


def rank_process(process: "subprocess.Popen[str]", rank: int) -> psutil.Process:
    found = [child for child in psutil.Process(process.pid).children() if child.environ().get("RANK") == str(rank)]
    return found[0]


def assert_same_curve(run: Path, alone: Path) -> None:
    """Every step once, on the same data, with the same losses."""
    ours, theirs = records(run), records(alone)
    for name in ("kind", "step", "first_position", "targets", "certificate"):
        assert [record.get(name) for record in ours] == [record.get(name) for record in theirs]
    assert [record["loss"] for record in ours] == pytest.approx([record["loss"] for record in theirs], rel=1e-4)


@pytest.mark.parametrize("rendezvous", ["static", pytest.param("c10d", marks=pytest.mark.slow)])
def test_a_rank_killed_under_torchrun_is_restarted_and_leaves_no_trace(
    recipe: Path, alone: Path, tmp_path: Path, rendezvous: str
) -> None:
    run = tmp_path / "run"
    with torchrun(recipe, "--out", run, restarts=3, rendezvous=rendezvous) as process:
        when(lambda: len(records(run)) > 17, process)
        rank_process(process, 1).send_signal(signal.SIGKILL)
        out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    assert "Finished: 60 steps" in out
    assert_same_curve(run, alone)


@pytest.mark.slow
def test_a_rank_asked_to_end_ends_all_of_them_at_one_step(recipe: Path, alone: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with torchrun(recipe, "--out", run, "--set", "training.parallel=fsdp") as process:
        when(lambda: len(records(run)) > 7, process)
        rank_process(process, 1).send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=200)
    assert process.returncode != 0
    assert err.count("exitcode  : 130") == 2, err
    step = records(run)[-1]["step"]
    assert (run / "checkpoints" / f"step-{step}").is_dir()
    # Two ranks with slices of the model before; three with copies of it, and then one process, after.
    with torchrun(recipe, "--out", run, "--steps", step + 10, ranks=3) as process:
        _, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    assert main(["train", str(recipe), "--out", str(run), "--json"]) == 0
    assert_same_curve(run, alone)


@pytest.mark.slow
def test_ranks_that_disagree_on_the_recipe_say_so_and_end(recipe: Path, tmp_path: Path) -> None:
    """As on two machines with two versions of a file."""
    script = tmp_path / "different.sh"
    script.write_text(
        f"#!/bin/sh\nexec {sys.executable} -m batchwright train {recipe} --out {tmp_path / 'run'} "
        "--set training.learning_rate=0.00$((RANK + 1))\n"
    )
    script.chmod(0o755)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--no-python", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode != 0
    assert "training.learning_rate: 0.002 there, 0.001 here" in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_two_ranks_share_the_measurement_of_noise_and_find_what_one_finds(
    recipe: Path, alone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # A batch that is cut alike on both: other micro-batches are another sample of the same noise.
    words = [recipe, "--run-directory", alone, "--steps", "16", "--set", "training.global_batch_size=16", "--json"]
    capsys.readouterr()
    assert main(["measure", "noise", *map(str, words)]) == 0
    one = orjson.loads(capsys.readouterr().out)
    with torchrun(*words, verb="measure noise") as process:
        out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    two = orjson.loads(out)  # and not an answer from each
    for name in ("tokens", "low"):
        assert two[name] == pytest.approx(one[name], rel=1e-4)
    assert (two["checkpoint"], two["observations"]) == (one["checkpoint"], 16)


@pytest.mark.slow
def test_a_rank_that_is_stopped_for_a_while_is_waited_for(recipe: Path, alone: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with torchrun(recipe, "--out", run) as process:
        when(lambda: len(records(run)) > 7, process)
        rank_process(process, 1).send_signal(signal.SIGSTOP)
        time.sleep(3)  # whatever was under way has ended
        before = len(records(run))
        time.sleep(3)
        assert len(records(run)) == before
        rank_process(process, 1).send_signal(signal.SIGCONT)
        _, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    assert_same_curve(run, alone)
