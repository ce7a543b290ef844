"""Kill −9 at any moment, resume, again and again: the loss curve and the weights are those of an undisturbed run, bit
for bit. Kills fall anywhere: before the first step, in a step, between the log and its checkpoint, inside a checkpoint.
"""

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from batchwright.training.run_log import read_log, without_measured


class Nursery:
    """Starts training runs in fresh processes and kills them."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._in, self._out = process.stdin, process.stdout

    def train(self, run: Path, *, kill_after_seconds: float | None = None) -> int:
        """Exit code of a run in that directory: 0 finished, −9 killed."""
        print(-1.0 if kill_after_seconds is None else kill_after_seconds, run, file=self._in, flush=True)
        return int(self._out.readline())


@contextmanager
def nursery(store: Path, twin: str = "as-built") -> Iterator[Nursery]:
    command = [sys.executable, "-m", "tests.end_to_end.train_nursery", str(store), twin]
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Nursery(process)
        assert process.stdin is not None
        process.stdin.close()


def curve(run: Path) -> list[dict[str, object]]:
    return without_measured(read_log(run / "metrics.jsonl"))


def final_tensors(run: Path) -> list[bytes]:
    return [(run / "checkpoints" / "step-40" / f"{name}.safetensors").read_bytes() for name in ("model", "optimizer")]


def train_with_kills(starter: Nursery, run: Path, kills: int, *, within_seconds: float, seed: int) -> int:
    """Kill so many runs at random moments, then let one finish. Returns at how many lengths of the log they were cut
    off."""
    moments = random.Random(seed)
    lengths: set[int] = set()
    for _ in range(kills):
        code = starter.train(run, kill_after_seconds=moments.uniform(0, within_seconds))
        assert code in (0, -9)
        log = run / "metrics.jsonl"
        if code == -9 and log.exists():
            lengths.add(log.stat().st_size)
    assert starter.train(run) == 0
    return len(lengths)


def undisturbed(starter: Nursery, run: Path) -> float:
    """Make the run to compare with; returns its seconds."""
    assert starter.train(run.with_name("first")) == 0  # so that the nursery's own start is not timed
    begun = time.perf_counter()
    assert starter.train(run) == 0
    return time.perf_counter() - begun


def test_any_number_of_kills_leaves_no_trace(tmp_path: Path) -> None:
    with nursery(tmp_path / "store") as starter:
        seconds = undisturbed(starter, tmp_path / "undisturbed")
        killed = train_with_kills(starter, tmp_path / "killed", 25, within_seconds=seconds / 6, seed=1)
    assert killed >= 5  # else the kills fell before the first step, and nothing was tested
    assert curve(tmp_path / "killed") == curve(tmp_path / "undisturbed")
    assert final_tensors(tmp_path / "killed") == final_tensors(tmp_path / "undisturbed")
    leftovers = [path.name for path in (tmp_path / "killed" / "checkpoints").iterdir() if path.name.startswith(".")]
    assert leftovers == []


def test_a_trainer_that_does_not_cut_its_log_is_caught(tmp_path: Path) -> None:
    with nursery(tmp_path / "store", "log-not-cut") as starter:
        seconds = undisturbed(starter, tmp_path / "undisturbed")
        train_with_kills(starter, tmp_path / "killed", 12, within_seconds=seconds / 2, seed=2)
    assert curve(tmp_path / "killed") != curve(tmp_path / "undisturbed")


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_a_thousand_kills_leave_no_trace(tmp_path: Path) -> None:
    killed = 0
    with nursery(tmp_path / "store") as starter:
        seconds = undisturbed(starter, tmp_path / "undisturbed")
        for number in range(40):
            run = tmp_path / f"killed-{number}"
            killed += train_with_kills(starter, run, 25, within_seconds=seconds / 6, seed=number)
            assert curve(run) == curve(tmp_path / "undisturbed")
            assert final_tensors(run) == final_tensors(tmp_path / "undisturbed")
    assert killed >= 200
