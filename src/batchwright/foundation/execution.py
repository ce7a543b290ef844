"""The seam between a job and where it runs.

A job is a set of tasks. A task is a pure function of its inputs and parameters that writes content-addressed files
and returns a small manifest (JSON). Guarantee: running a task twice, on two machines, or after a crash gives the same
files under the same names, and a task whose manifest is committed is not run again. Engines (batchwright.engines)
differ only in `run`; nothing else knows one. Price: a JSON file and two fsyncs per task, so make tasks seconds long.

    Task ──key──▶ OUTPUT/KEY.*  (files the function writes)  ──▶  OUTPUT/KEY.done.json  (the manifest, last)
"""

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, cast

from batchwright.foundation.errors import CorruptDataError
from batchwright.foundation.files import AtomicFile, json_bytes, read_json, translated
from batchwright.foundation.fingerprint import fingerprint

Manifest = dict[str, Any]
TaskFunction = Callable[[Mapping[str, Any], Path], Manifest]


@dataclass(frozen=True, kw_only=True)
class Task:
    """`function` is "module:name" of a TaskFunction: (parameters, output prefix) → manifest.

    `parameters` (JSON) hold everything the result depends on, the identity of input files included; `context` (JSON)
    holds what the function needs but the result does not depend on, such as where an input lies on this machine.
    """

    function: str
    parameters: Mapping[str, Any]
    output: str
    context: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @cached_property
    def key(self) -> str:
        """32 hexadecimal digits naming the task by what it computes."""
        return fingerprint({"function": self.function, "parameters": dict(self.parameters)})

    @property
    def prefix(self) -> Path:
        """The function writes files named `prefix` plus a suffix, and nothing else."""
        return Path(self.output) / self.key

    @property
    def manifest_path(self) -> Path:
        return Path(self.output) / f"{self.key}.done.json"


def make_outputs(tasks: Iterable[Task]) -> None:
    """Make the directories that tasks write into. The driver does, a task never: one that goes on when its driver is
    dead, on a node far away, must not bring back a directory that another driver has finished with and removed.
    """
    for output in {task.output for task in tasks}:
        with translated(output):
            Path(output).mkdir(parents=True, exist_ok=True)


def run_task(task: Task) -> Manifest:
    """Run a task, or return the manifest it committed before. Its output directory is there (`make_outputs`)."""
    if task.manifest_path.exists():
        return _read_manifest(task.manifest_path)
    module, _, name = task.function.partition(":")
    function = cast("TaskFunction", getattr(importlib.import_module(module), name))
    manifest = function({**task.parameters, **task.context}, task.prefix)
    with AtomicFile(task.manifest_path) as file:
        file.write(json_bytes({"manifest": manifest, "seal": fingerprint(manifest)}))
    return manifest


def _read_manifest(path: Path) -> Manifest:
    """What a finished task returned. A wrong count in it would become a wrong store, so its own seal vouches for it."""
    committed = read_json(path)
    if isinstance(committed, dict):
        manifest = cast("dict[str, Any]", committed).get("manifest")
        if isinstance(manifest, dict) and fingerprint(manifest) == cast("dict[str, Any]", committed).get("seal"):
            return cast("Manifest", manifest)
    raise CorruptDataError(
        "the record of a finished task was damaged after it was written",
        where=str(path),
        remedy="remove this file; the same command then does the task again",
    )


class Executor(Protocol):
    """Where tasks run. Results come in any order; whoever needs one sorts by the task."""

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Manifest]]:
        """Run all tasks; the first failure is raised here after nothing new is started."""
        ...

    @property
    def workers(self) -> int:
        """How many tasks run at the same time."""
        ...
