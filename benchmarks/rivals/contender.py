"""The process a rival runs in: it converts, opens, measures when told to, and answers in JSON, one line each.

    python -m benchmarks.rivals.contender MODULE DIRECTORY      orders on stdin, answers on the original stdout

A rival's module holds `ENVIRONMENT`, `convert(corpus)` and `VARIANTS`: name → `Variant`. It imports the rival's library
only inside its functions, because the driver, which lacks it, reads the names.
"""

import importlib
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.rivals.corpus import Corpus, T


@dataclass(frozen=True, kw_only=True)
class Stream:
    """Batches without end, and how to name the place in them (None: this rival cannot resume). `close` ends workers."""

    batches: Iterator[Any]
    state: Callable[[], Any] | None = None
    close: Callable[[], None] = lambda: None


@dataclass(frozen=True, kw_only=True)
class Variant:
    """`open(corpus, B, state)` begins, or goes on from a state. `produces` says what lies in memory per token. A batch
    counts as B·T tokens. `ahead` batches may lie ready from before the clock starts (threads, workers): they are taken
    first. `limit` marks a bound and no loader."""

    produces: str
    open: Callable[[Corpus, int, Any], Stream]
    limit: str = ""
    ahead: int = 0


def cpu_seconds() -> float:
    """CPU time of this process and of its children (worker processes), ended or living."""
    ended = os.times()
    total = time.process_time() + ended.children_user + ended.children_system
    tick = os.sysconf("SC_CLK_TCK")
    for child in _descendants(os.getpid()):
        try:
            fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += (int(fields[11]) + int(fields[12])) / tick
    return total


def _descendants(process: int) -> Iterator[int]:
    for children in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            found = [int(word) for word in children.read_text().split()]
        except OSError:
            continue
        for child in found:
            yield child
            yield from _descendants(child)


class Contender:
    """One rival's open streams, between orders."""

    def __init__(self, module: str, corpus: Corpus) -> None:
        self.rival = importlib.import_module(f"benchmarks.rivals.{module}")
        self.corpus = corpus
        self.open: dict[tuple[str, int], Stream] = {}
        self.states: dict[str, Any] = {}

    def convert(self) -> dict[str, Any]:
        """The tokens in the rival's format; nothing when they are there."""
        began = time.perf_counter()
        self.rival.convert(self.corpus)
        return {"seconds": time.perf_counter() - began}

    def measure(self, variant: str, B: int, seconds: float) -> dict[str, Any]:
        """CPU and wall seconds per token over about so many seconds of batches."""
        key = (variant, B)
        if key not in self.open:
            self.open[key] = self.rival.VARIANTS[variant].open(self.corpus, B, None)
            for _ in range(3):
                next(self.open[key].batches)
        stream = self.open[key].batches
        for _ in range(self.rival.VARIANTS[variant].ahead):
            next(stream)
        count, cpu, wall = 0, cpu_seconds(), time.perf_counter()
        while time.perf_counter() - wall < seconds:
            next(stream)
            count += 1
        return {"cpu": (cpu_seconds() - cpu) / (count * B * T), "wall": (time.perf_counter() - wall) / (count * B * T)}

    def close(self, variant: str, B: int) -> dict[str, Any]:
        """End a stream: its memory and its workers go."""
        stream = self.open.pop((variant, B), None)
        if stream is not None:
            stream.close()
        return {}

    def start(self, variant: str, B: int) -> dict[str, Any]:
        """Seconds from nothing (the library imported, the tokens converted) to the first batch."""
        began = time.perf_counter()
        stream = self.rival.VARIANTS[variant].open(self.corpus, B, None)
        next(stream.batches)
        taken = time.perf_counter() - began
        stream.close()
        return {"seconds": taken}

    def resume(self, variant: str, B: int) -> dict[str, Any]:
        """Seconds from nothing and a state saved after 90 % of an epoch to the next batch."""
        if variant not in self.states:
            self.states[variant] = self._state_at(0.9, variant, B)
        if self.states[variant] is None:
            return {"seconds": None}
        began = time.perf_counter()
        stream = self.rival.VARIANTS[variant].open(self.corpus, B, self.states[variant])
        next(stream.batches)
        taken = time.perf_counter() - began
        stream.close()
        return {"seconds": taken}

    def _state_at(self, part: float, variant: str, B: int) -> Any:
        stream = self.rival.VARIANTS[variant].open(self.corpus, B, None)
        if stream.state is None:
            stream.close()
            return None
        for _ in range(int(part * len(self.corpus.tokens) / (B * T))):
            next(stream.batches)
        state = stream.state()
        stream.close()
        return state


def main() -> None:
    """Obey orders until stdin ends. What a library prints goes to stderr."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    contender = Contender(sys.argv[1], Corpus(directory=Path(sys.argv[2])))
    for line in sys.stdin:
        order = json.loads(line)
        try:
            answer = getattr(contender, order.pop("do"))(**order)
        except BaseException as error:  # the driver writes the reason into the table
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
