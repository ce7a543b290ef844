"""Rounds of text that neither side has seen, ours and a rival's in turn: what the benchmarks beside datatrove share."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any, Self

from benchmarks.rivals.datatrove_filters import records

LONGEST = 100_000  # bytes; longer documents are left out, so that one of them is not a round


class Rival:
    """Another's code in its own environment: an order, one JSON object a line, is answered by one."""

    def __init__(self, python: Path, script: str) -> None:
        self._process = subprocess.Popen(
            [str(python), script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def ask(self, order: dict[str, Any]) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def texts_of(corpus: Path) -> Iterator[bytes]:
    return (text.encode("utf-8", "replace") for text in records(str(corpus)))


def blocks(corpora: Sequence[Path], size_bytes: int) -> Iterator[list[bytes]]:
    """Unseen documents of all corpora in turn, about `size_bytes` a block."""
    sources = [texts_of(corpus) for corpus in corpora]
    block: list[bytes] = []
    gathered = 0
    while sources:
        for source in list(sources):
            text = next(source, None)
            if text is None:
                sources.remove(source)
            elif len(text) <= LONGEST:
                block.append(text)
                gathered += len(text)
            if gathered >= size_bytes:
                yield block
                block, gathered = [], 0


def compare(
    title: str,
    unseen: Iterator[list[bytes]],
    rounds: int,
    ours: Callable[[list[bytes]], float],
    theirs: Callable[[list[bytes]], float],
    *,
    beside: Callable[[], str] = lambda: "",
) -> None:
    """Print MB per CPU-second round by round, and the medians; `ours` and `theirs` return CPU-seconds, and the first
    round, which warms both, does not count. `beside`: what else a line says."""
    print(f"load {os.getloadavg()[0]:.1f}; MB per CPU-second, {title}\n")
    print(f"{'round':>5}{'MB':>7}{'batchwright':>13}{'datatrove':>11}{'times':>7}")
    figures: list[tuple[float, float]] = []
    for number, texts in zip(range(rounds + 1), unseen, strict=False):
        size = sum(map(len, texts)) / 1e6
        slow, fast = size / theirs(texts), size / ours(texts)
        if number:
            figures.append((fast, slow))
            print(f"{number:>5}{size:>7.2f}{fast:>13.1f}{slow:>11.2f}{fast / slow:>7.0f}{beside()}", flush=True)
    fast, slow = (median(column) for column in zip(*figures, strict=True))
    print(f"\nmedian      {fast:>13.1f}{slow:>11.2f}{median(a / b for a, b in figures):>7.0f}")
