"""One contract, every executor: in this process, in a pool, on a cluster."""

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from batchwright.engines.local import LocalExecutor
from batchwright.engines.ray import RayExecutor
from batchwright.engines.serial import SerialExecutor
from batchwright.foundation.errors import CorruptDataError, InputError, ResourceError
from batchwright.foundation.execution import Executor, Manifest, Task
from tests.engines.tasks import tasks
from tests.tokens.material import prepare, stored_bytes, texts, write_jsonl

pytestmark = pytest.mark.xdist_group("ray")

KINDS = ["serial", "one", "three", "ray"]


@pytest.fixture(params=KINDS)
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    if request.param != "ray":
        chosen = {"serial": SerialExecutor(), "one": LocalExecutor(1), "three": LocalExecutor(3)}[request.param]
        yield chosen
        if isinstance(chosen, LocalExecutor):
            chosen.close()
        return
    with RayExecutor(request.getfixturevalue("ray_cluster").address) as cluster:
        yield cluster


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


def test_a_store_has_the_same_bytes_from_every_executor(executor: Executor, tmp_path: Path):
    source = write_jsonl(tmp_path / "a.jsonl", texts(80))
    prepare(source, tmp_path / "here", executor=executor, partition_bytes=2_500, keep_rejected=True)
    prepare(source, tmp_path / "there", partition_bytes=700, keep_rejected=True)
    assert stored_bytes(tmp_path / "here") == stored_bytes(tmp_path / "there")


def test_a_task_that_fails_fails_the_run_with_its_own_error(executor: Executor, tmp_path: Path):
    with pytest.raises(CorruptDataError, match="number three") as caught:
        list(executor.run(tasks("fail_at_three", tmp_path)))
    assert type(caught.value) is CorruptDataError
    assert (caught.value.where, caught.value.remedy) == ("three", "take four")
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".partial")]


def test_a_mistake_of_our_own_is_not_dressed_up(executor: Executor, tmp_path: Path):
    with pytest.raises(KeyError, match="our own mistake"):
        list(executor.run(tasks("mistaken", tmp_path, 1)))


@pytest.mark.parametrize("executor", KINDS[2:], indirect=True)
def test_a_killed_worker_costs_a_retry_not_the_job(executor: Executor, tmp_path: Path):
    results = [manifest["n"] for _, manifest in executor.run(tasks("die_once", tmp_path))]
    assert sorted(results) == list(range(8))


def test_workers_that_always_die_end_in_a_clear_error(tmp_path: Path):
    with pytest.raises(ResourceError, match="killed 2 times"):
        list(LocalExecutor(2, attempts=2).run(tasks("die_always", tmp_path, 2)))


def processes(results: Iterator[tuple[Task, Manifest]]) -> set[int]:
    return {manifest["process"] for _, manifest in results}


def test_workers_stay_from_one_run_to_the_next_and_end_with_the_block(tmp_path: Path):
    with LocalExecutor(1) as executor:
        (first,) = processes(executor.run(tasks("who", tmp_path / "a", 2)))
        assert processes(executor.run(tasks("who", tmp_path / "b", 2))) == {first}
        assert psutil.pid_exists(first)
    assert not psutil.pid_exists(first)


def test_after_a_failure_or_a_death_other_workers_go_on(tmp_path: Path):
    with LocalExecutor(1) as executor:
        (first,) = processes(executor.run(tasks("who", tmp_path / "a", 1)))
        with pytest.raises(CorruptDataError):
            list(executor.run(tasks("fail_at_three", tmp_path / "b")))
        (second,) = processes(executor.run(tasks("who", tmp_path / "c", 1)))
        psutil.Process(second).kill()
        (third,) = processes(executor.run(tasks("who", tmp_path / "d", 1)))
    assert len({first, second, third}) == 3


def test_workers_of_an_executor_that_nobody_holds_end(tmp_path: Path):
    (process,) = processes(LocalExecutor(1).run(tasks("who", tmp_path, 1)))
    psutil.wait_procs([psutil.Process(process)] if psutil.pid_exists(process) else [], timeout=20)
    assert not psutil.pid_exists(process)


def test_a_pool_of_nobody_is_refused():
    with pytest.raises(InputError):
        LocalExecutor(0)


def test_no_tasks_no_processes(executor: Executor):
    assert list(executor.run([])) == []
