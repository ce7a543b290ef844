"""Workers of a cluster that die in the middle of a task: what a node runs in place of `run_on_node`.

The first task of every kind in `KILLS` kills the worker that has it in hand, between the renaming of its first file and
what comes after; the first of the kind `BLOCKS` says which node has it, and waits at that place until that node is
gone. What happened stands in files beside the tasks' output: `killed-KIND`, `blocked-KIND`.
"""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from batchwright.engines.ray import Mark, check_node
from batchwright.foundation.execution import Manifest, Task, run_task

KILLS = ("tokenize_partition", "write_shard")
BLOCKS = "compare_range"
_LONGEST_SECONDS = 60.0


def run_and_die(task: Task, mark: Mark) -> Manifest:
    """Run a task, or die of it."""
    check_node(mark)
    kind, place = task.function.rpartition(":")[2], Path(task.output)
    if kind in KILLS and _first(place / f"killed-{kind}"):
        _after_first_file(lambda: os.kill(os.getpid(), signal.SIGKILL))
    elif kind == BLOCKS and _first(place / f"blocked-{kind}"):
        import ray

        node: Any = ray.get_runtime_context()
        (place / f"blocked-{kind}").write_text(node.get_node_id())
        _after_first_file(lambda: time.sleep(_LONGEST_SECONDS))
    return run_task(task)


def _first(path: Path) -> bool:
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def _after_first_file(act: Callable[[], Any]) -> None:
    """In this worker, which is to die: `act` when the first file has its name and its directory is not yet synced."""
    honest = os.replace

    def replace(source: Any, target: Any) -> None:
        honest(source, target)
        act()

    os.replace = replace  # type: ignore[assignment]
