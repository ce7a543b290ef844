"""Starts groups of ranks for a test: see `rank_nursery`."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class Groups:
    """Asks the nursery for groups, one at a time."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._in, self._out = process.stdin, process.stdout

    def answers(self, ranks: int, function: str, **arguments: Any) -> list[dict[str, Any]]:
        """What each rank said: {"value": …} or {"error": …}."""
        job = {"ranks": ranks, "function": f"tests.training.rank_jobs:{function}", "arguments": arguments}
        print(json.dumps(job), file=self._in, flush=True)
        return json.loads(self._out.readline())

    def values(self, ranks: int, function: str, **arguments: Any) -> list[Any]:
        """What each rank returned; an error on any is one of the test."""
        answers = self.answers(ranks, function, **arguments)
        assert all("value" in answer for answer in answers), answers
        return [answer["value"] for answer in answers]


@contextmanager
def groups_of_ranks() -> Iterator[Groups]:
    command = [sys.executable, "-W", "error", "-m", "tests.training.rank_nursery"]
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        yield Groups(process)
        assert process.stdin is not None
        process.stdin.close()
