"""Runs of `train` in processes that are killed, and what is left of them to compare."""

import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from batchwright.cli.main import main
from batchwright.training.run_log import read_log, without_measured

REPOSITORY = Path(__file__).resolve().parents[2]
KILLED = -9


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How one call of `train` ended."""

    code: int  # the command's; −9: killed
    operations: list[str]  # the one it was killed at, or all of them when they were counted and it was not killed
    said: str  # the end of it


class Nursery:
    """Starts training runs in fresh processes, see `train_nursery`, and compares them with one that nobody disturbs."""

    def __init__(self, process: "subprocess.Popen[str]", place: Path) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._in, self._out = process.stdin, process.stdout
        self.whole = place / "undisturbed"
        self.train(place / "first")  # so that the nursery's own start is not timed
        self.operations = self.train(place / "counted", at_operation=0).operations
        begun = time.perf_counter()
        assert self.train(self.whole).code == 0
        self.seconds = time.perf_counter() - begun

    def train(
        self,
        run: Path,
        words: Sequence[object] = (),
        *,
        after_seconds: float | None = None,
        at_operation: int | None = None,
        power_cut: int | None = None,
        twin: str = "",
    ) -> Ending:
        request = {
            "run": str(run),
            "words": [*map(str, words)],
            "after_seconds": after_seconds,
            "at_operation": at_operation,
            "power_cut": power_cut,
            "twin": twin,
        }
        print(json.dumps(request), file=self._in, flush=True)
        return Ending(**json.loads(self._out.readline()))


@contextmanager
def nursery(place: Path) -> Iterator[Nursery]:
    place.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "tests.end_to_end.train_nursery", str(prepared(place)), str(place)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Nursery(process, place)
        assert process.stdin is not None
        process.stdin.close()


def prepared(place: Path) -> Path:
    """A store of forty small documents."""
    text, store = place / "text", place / "store"
    text.mkdir()
    for number in range(40):
        words = " ".join(f"word{(number * 7 + i) % 31}" for i in range(5 + number))
        (text / f"{number:02}.txt").write_text(f"document {number}\n{words}\n", encoding="utf-8")
    words = ["prepare", text, "--out", store, "--tokenizer", "train:280", "--validation", "0.2", "--workers", "1"]
    assert main([*map(str, words), "--json"]) == 0
    return store


@dataclass(kw_only=True)
class Tally:
    """What kills hit."""

    in_time: int = 0
    at_operations: Counter[str] = field(default_factory=Counter)
    lengths: set[int] = field(default_factory=set)  # of the log, when its run was killed

    @property
    def kills(self) -> int:
        return self.in_time + self.at_operations.total()

    def add(self, other: "Tally") -> None:
        self.in_time += other.in_time
        self.at_operations += other.at_operations
        self.lengths |= other.lengths

    def to_dict(self) -> dict[str, Any]:
        return {"in_time": self.in_time, "at_operations": self.at_operations, "lengths": sorted(self.lengths)}

    @classmethod
    def of(cls, value: dict[str, Any]) -> "Tally":
        return cls(in_time=value["in_time"], at_operations=Counter(value["at_operations"]), lengths={*value["lengths"]})

    def describe(self) -> str:
        operations = ", ".join(f"{name} {count}" for name, count in self.at_operations.most_common())
        return (
            f"{self.kills:,}: {self.in_time} at random moments, {self.at_operations.total()} at durable operations "
            f"({operations}), at {len(self.lengths)} lengths of the log"
        )

    def note(self, ending: Ending, run: Path) -> None:
        """Count an ending, if it was a kill."""
        if ending.code != KILLED:
            return
        if ending.operations:
            self.at_operations.update(ending.operations)
        else:
            self.in_time += 1
        log = run / "metrics.jsonl"
        self.lengths.add(log.stat().st_size if log.exists() else 0)


def train_with_kills(starter: Nursery, run: Path, kills: int, *, seed: int, twin: str = "") -> Tally:
    """Kill so many calls of `train`, every other one at a random moment and the rest at a random durable operation,
    then let one finish. A call that ends before its moment is none of them."""
    chance, tally = random.Random(seed), Tally()
    for number in range(4 * kills):
        if tally.kills == kills:
            break
        if number % 2:
            moment: dict[str, Any] = {"after_seconds": chance.uniform(0, starter.seconds / 6)}
        else:
            moment = {"at_operation": chance.randint(1, len(starter.operations) // 8)}
        ending = starter.train(run, twin=twin, **moment)
        assert ending.code in (0, KILLED), ending
        tally.note(ending, run)
    assert starter.train(run, twin=twin).code == 0
    return tally


def remains(run: Path) -> dict[str, Any]:
    """All of a run that must be the same, however it came about."""
    newest = max((run / "checkpoints").glob("step-*"), key=lambda path: int(path.name.removeprefix("step-")))
    return {
        "curve": without_measured(read_log(run / "metrics.jsonl")),
        "newest": newest.name,
        "tensors": [(newest / f"{name}.safetensors").read_bytes() for name in ("model", "optimizer")],
        "recipe": (run / "recipe.toml").read_text(encoding="utf-8"),
        "samples": (run / "samples.json").read_bytes() if (run / "samples.json").exists() else None,
        "left over": sorted(str(path.relative_to(run)) for path in run.rglob("*.partial") if path.name.startswith("."))
        + [name for name in ("going-back.json",) if (run / name).exists()],
    }


def differing(found: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    return [name for name, value in wanted.items() if found[name] != value]
