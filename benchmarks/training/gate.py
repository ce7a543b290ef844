"""How a training loop takes turns with others: after every update it calls `step_ended`, which stands still when it is
somebody else's turn.

    order on stdin    {"steps": 4}             train four more updates
    answer            {"cpu": 3.1, "wall": 3.2, "loss": 7.6}

Guarantee: the clock runs from the order to the end of the last update asked for; CPU-seconds are those of the process
and its children, user and system. Price: none while a loop trains but a call per update.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

from benchmarks.rivals.contender import cpu_seconds


class Finished(Exception):
    """No more orders."""


class Gate:
    """One loop's turn-taking. Answers go to `answers`, because libraries print to stdout."""

    def __init__(self, answers: TextIO) -> None:
        self._answers = answers
        self._left = 0
        self._cpu = self._wall = 0.0

    def ready(self, parameters: int) -> None:
        """The model is there and nothing was trained yet; waits for the first order."""
        self._answer({"parameters": parameters})
        self._wait()

    def step_ended(self, loss: Callable[[], float]) -> None:
        """`loss` of the update is read only where an answer is due."""
        self._left -= 1
        if self._left == 0:
            self._answer({"cpu": cpu_seconds() - self._cpu, "wall": time.perf_counter() - self._wall, "loss": loss()})
            self._wait()

    def _answer(self, fields: dict[str, Any]) -> None:
        self._answers.write(json.dumps(fields) + "\n")
        self._answers.flush()

    def _wait(self) -> None:
        line = sys.stdin.readline()
        if not line:
            raise Finished
        self._left = json.loads(line)["steps"]
        self._cpu, self._wall = cpu_seconds(), time.perf_counter()
