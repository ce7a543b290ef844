"""A process that has imported everything; for every line, a JSON object, it forks `batchwright train`, kills it with
signal 9 where the line says, and answers with a JSON object: how it ended, and at which durable operation.

    {"run": DIRECTORY, "words": [...], "after_seconds": null, "at_operation": null, "power_cut": null, "twin": ""}
    {"code": -9, "operations": ["fsync"], "said": "Error: …"}

Starting Python and torch takes seconds, a run of the test less than one: so a hundred kills cost seconds instead of
minutes. The forked child is a process of its own, which signal 9 ends like any other. (Forking is safe here: no thread
lives before it.) With a number as `power_cut` the kill takes with it what was not synced, by that chance. The rule for
spikes is made so strict that their records stand in the log, too.

`twin` breaks the trainer on purpose: "log-not-cut" keeps in its log what was written after the last checkpoint,
"named-early" gives a checkpoint its name before its content, "not-decided" goes back without having written down that
it will, "files-not-synced" syncs directories alone.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import xxhash

from batchwright.cli.main import main as batchwright
from batchwright.foundation.files import write_atomic
from batchwright.recipe import Recipe
from batchwright.training import spikes
from batchwright.training import trainer as training
from batchwright.training.run_log import RunLog
from batchwright.workflows import change_course, run_directory
from tests.end_to_end.kill_points import KillPoint
from tests.end_to_end.power_cut import Unsynced

STEPS = 40
# Seven rows a step: the run passes through epochs, and steps lie across their borders.
RECIPE = """
[data]
store = "{store}"

[model]
vocabulary_size = 280
width = 16
layers = 1
heads = 2
feed_forward_width = 16

[training]
global_batch_size = 7
micro_batch_size = 4
sequence_length = 16
tokens = 4480
learning_rate = 1e-2
evaluate_every_tokens = 1000
evaluate_sequences = 8
checkpoint_every_tokens = 224
keep_every_tokens = 1120
spike_deviations = 0.2
spike_window_tokens = 2016
threads = 1

[run]
samples = 1
tensorboard = true
"""
UNEXPECTED = 99


class UncutLog(RunLog):
    """A broken twin."""

    def __init__(self, path: Path, *, committed_bytes: int, committed_xxh3: str = "") -> None:
        content = path.read_bytes() if path.exists() else b""
        super().__init__(path, committed_bytes=len(content), committed_xxh3=xxhash.xxh3_128_hexdigest(content))


def named_early() -> None:
    """A broken twin: whoever looks finds a checkpoint as soon as its directory is made."""
    honest = os.mkdir

    def mkdir(path: Any, *arguments: Any, **named: Any) -> None:
        honest(path, *arguments, **named)
        place = Path(path)
        if place.name.startswith(".step-"):
            final = place.with_name(place.name.removeprefix(".").removesuffix(".partial"))
            if not final.exists():
                final.symlink_to(place, target_is_directory=True)

    os.mkdir = mkdir


def not_decided(run: Path, step: int, recipe: Recipe) -> None:
    """A broken twin."""
    write_atomic(run / run_directory.RECIPE_NAME, recipe.to_toml().encode())
    run_directory.Checkpoints(run / run_directory.CHECKPOINTS_NAME).forget_after(step)


def break_as(twin: str) -> None:
    match twin:
        case "" | "files-not-synced":
            pass
        case "log-not-cut":
            training.RunLog = UncutLog  # type: ignore[misc]
        case "named-early":
            named_early()
        case "not-decided":
            change_course.go_back = not_decided
        case _:
            raise ValueError(twin)


def main(store: Path, place: Path) -> None:
    spikes.LOSS_SHARE, spikes.NORM_FACTOR = 0.0, 1.0
    recipe = place / "recipe.toml"
    recipe.write_text(RECIPE.format(store=store), encoding="utf-8")
    torch.set_num_threads(1)
    answers, said = os.dup(1), os.open(place / "said", os.O_RDWR | os.O_CREAT | os.O_APPEND)
    os.dup2(said, 1)
    os.dup2(said, 2)
    # Once for all children: hot loops compiled, and what is imported only when it is first used.
    assert train(recipe, place / "warm-up", []) == 0
    for line in sys.stdin:
        os.ftruncate(said, 0)
        answer = attempt(recipe, place / "operations", **json.loads(line))
        answer["said"] = os.pread(said, 2**16, 0).decode(errors="replace")[-2000:]
        os.write(answers, json.dumps(answer).encode() + b"\n")


def attempt(
    recipe: Path,
    note: Path,
    *,
    run: str,
    words: list[str],
    after_seconds: float | None,
    at_operation: int | None,
    power_cut: int | None,
    twin: str,
) -> dict[str, Any]:
    """One child, to its end."""
    note.unlink(missing_ok=True)
    over, held = os.pipe()  # held by the child, and by who follows it
    pid = os.fork()
    if pid == 0:
        code = UNEXPECTED
        try:
            break_as(twin)
            point = KillPoint(at_operation or 0, note, afterwards=power_cut_of(Path(run), power_cut, twin))
            if at_operation is not None:
                point.set()
            code = train(recipe, Path(run), words)
            note.write_text("\n".join(point.names), encoding="utf-8")
        finally:
            os._exit(code)
    if after_seconds is not None:
        time.sleep(after_seconds)
        os.kill(pid, signal.SIGKILL)  # not reaped yet, so the number is still its own
    _, status = os.waitpid(pid, 0)
    os.close(held)
    os.read(over, 1)
    os.close(over)
    operations = note.read_text(encoding="utf-8").split("\n") if note.exists() else []
    return {"code": os.waitstatus_to_exitcode(status), "operations": operations}


def power_cut_of(run: Path, seed: int | None, twin: str) -> Callable[[], None] | None:
    if seed is None:
        return None
    unsynced = Unsynced(run, seed=seed, files_count=twin != "files-not-synced")
    unsynced.set()
    return unsynced.cut


def train(recipe: Path, run: Path, words: list[str]) -> int:
    return batchwright(["train", str(recipe), "--out", str(run), *words])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
