"""One contract, every executor."""

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from batchwright.engines.local import LocalExecutor
from batchwright.engines.serial import SerialExecutor
from batchwright.foundation.errors import CorruptDataError, InputError, ResourceError
from batchwright.foundation.execution import Executor, Manifest, Task
from batchwright.foundation.files import write_atomic


def square(parameters: Mapping[str, Any], prefix: Path) -> Manifest:
    with (prefix.parent / "calls.log").open("a") as log:
        log.write(f"{parameters['n']}\n")
    write_atomic(prefix.with_suffix(".txt"), str(parameters["n"] ** 2).encode())
    return {"n": parameters["n"], "square": parameters["n"] ** 2}


def fail_at_three(parameters: Mapping[str, Any], prefix: Path) -> Manifest:
    if parameters["n"] == 3:
        raise CorruptDataError("number three is broken", where="three")
    return square(parameters, prefix)


def die_once(parameters: Mapping[str, Any], prefix: Path) -> Manifest:
    mark = prefix.parent / "died"
    if parameters["n"] == 5 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return square(parameters, prefix)


def die_always(parameters: Mapping[str, Any], prefix: Path) -> Manifest:
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def tasks(function: str, output: Path, count: int = 8) -> list[Task]:
    return [Task(function=f"{__name__}:{function}", parameters={"n": n}, output=str(output)) for n in range(count)]


@pytest.fixture(params=[SerialExecutor(), LocalExecutor(1), LocalExecutor(3)], ids=["serial", "one", "three"])
def executor(request: pytest.FixtureRequest) -> Executor:
    return request.param


def test_every_task_runs_once_and_a_second_run_does_nothing(executor: Executor, tmp_path: Path):
    for _ in range(2):
        results = {
            task.parameters["n"]: manifest["square"] for task, manifest in executor.run(tasks("square", tmp_path))
        }
        assert results == {n: n * n for n in range(8)}
    assert sorted((tmp_path / "calls.log").read_text().split()) == [str(n) for n in range(8)]


def test_the_files_do_not_depend_on_the_executor(executor: Executor, tmp_path: Path):
    list(executor.run(tasks("square", tmp_path / "here")))
    list(SerialExecutor().run(tasks("square", tmp_path / "there")))
    here, there = (
        {p.name: p.read_bytes() for p in d.iterdir() if p.suffix != ".log"}
        for d in (tmp_path / "here", tmp_path / "there")
    )
    assert here == there


def test_a_task_that_fails_fails_the_run_with_its_own_error(executor: Executor, tmp_path: Path):
    with pytest.raises(CorruptDataError, match="number three") as caught:
        list(executor.run(tasks("fail_at_three", tmp_path)))
    assert caught.value.where == "three"


def test_a_killed_worker_costs_a_retry_not_the_job(tmp_path: Path):
    results = [manifest["n"] for _, manifest in LocalExecutor(2).run(tasks("die_once", tmp_path))]
    assert sorted(results) == list(range(8))


def test_workers_that_always_die_end_in_a_clear_error(tmp_path: Path):
    with pytest.raises(ResourceError, match="killed 2 times"):
        list(LocalExecutor(2, attempts=2).run(tasks("die_always", tmp_path, 2)))


def test_a_pool_of_nobody_is_refused():
    with pytest.raises(InputError):
        LocalExecutor(0)


def test_no_tasks_no_processes(executor: Executor):
    assert list(executor.run([])) == []
