"""Tasks on a Ray cluster that exists, or on one that is started for the job on this machine.

Guarantee: the same files as every other engine writes; a worker or a node that dies costs a retry of what it had in
hand; a machine that does not see the job's directory, or has another version of batchwright, is refused by name
before it writes anything. Only Ray Core tasks are used: descriptions of tasks go out, manifests come back, and text
and tokens go through files alone, so nothing of a job lies in Ray's object store, and what is finished stays finished
whatever becomes of the cluster. Ray is connected to when a job runs and never before.
Price: a cluster of its own takes ~5 s and ~0.5 GB to start; a directory that every machine sees under the same path.
"""

import logging
import os
import secrets
import socket
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any, Self

from batchwright.engines.local import available_cores
from batchwright.foundation.errors import BatchwrightError, InputError, ResourceError
from batchwright.foundation.execution import Manifest, Task, make_outputs, run_task
from batchwright.foundation.extras import import_extra
from batchwright.foundation.files import TEMPORARY_SUFFIX, translated
from batchwright.foundation.units import MiB

_OBJECT_STORE_BYTES = 96 * MiB  # Ray's smallest is 75 MiB; manifests are kilobytes
_TASKS_IN_HAND_PER_WORKER = 2
_TASKS_IN_HAND_AT_LEAST = 16  # so that a cluster that grows by demand sees some
_LOOK_SECONDS = 5.0
_ADDRESSES = "HOST:6379 as `ray start --head` printed it, auto on a node of the cluster, or none: one is started here"


class RayExecutor:
    """One Ray task per task, at most two per core in hand.

    `address` is a running cluster's ("auto": the one this machine belongs to); None starts one here, with `workers`
    cores, that ends with `close`. With an address `workers` caps how many tasks run at a time. A session of Ray that
    this process already has is used and left as it is. `attempts` is how often a task may begin; a cluster without
    a core is waited for `patience_seconds`.
    """

    def __init__(
        self,
        address: str | None = None,
        workers: int | None = None,
        *,
        attempts: int = 3,
        patience_seconds: float = 60.0,
    ) -> None:
        if workers is not None and workers < 1:
            raise InputError(f"a cluster needs at least one worker, not {workers}")
        self._address, self._workers = address, workers
        self._attempts, self._patience_seconds = attempts, patience_seconds
        self._ray: Any = None
        self._ours = False

    def __enter__(self) -> Self:
        """Say at once what would only be found when the first task is due; a cluster of our own starts only then."""
        import_extra("ray", "--engine ray")
        if self._address is not None:
            self._connected()
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave the cluster; end it if it was started here."""
        if self._ours:
            self._ray.shutdown()
        self._ray, self._ours = None, False

    @property
    def workers(self) -> int:
        return self._workers or max(1, int(self._connected().cluster_resources().get("CPU", 0)))

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Manifest]]:
        listed = list(tasks)
        if not listed:
            return
        ray = self._connected()
        make_outputs(listed)
        with ExitStack() as stack:
            marks = {output: stack.enter_context(_mark(output)) for output in {task.output for task in listed}}
            self._visit_nodes(next(iter(marks.values())))
            function = ray.remote(num_cpus=1, max_retries=self._attempts - 1)(run_on_node)
            in_hand: dict[Any, Task] = {}
            stack.callback(self._let_end, in_hand, marks.values())
            waiting = iter(listed)
            while True:
                for task in islice(waiting, self._window() - len(in_hand)):
                    in_hand[function.remote(task, marks[task.output])] = task
                if not in_hand:
                    return
                for reference in self._wait(in_hand):
                    manifest = self._result(reference)
                    yield in_hand.pop(reference), manifest

    def _connected(self) -> Any:
        if self._ray is None:
            self._ray = import_extra("ray", "--engine ray")
            if self._ray.is_initialized():
                self._check_session()
            else:
                self._connect()
        return self._ray

    def _check_session(self) -> None:
        there = self._ray.get_runtime_context().gcs_address
        if self._address not in (None, "auto", there):
            raise InputError(
                f"this process already takes part in the Ray cluster at {there}, not in the one at {self._address}",
                remedy="ray.shutdown() first, or leave the address out",
            )

    def _connect(self) -> None:
        """By an address always, our own cluster's is "local": without one Ray would look for a cluster to join."""
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        ours = {"num_cpus": self._workers or available_cores(), "object_store_memory": _OBJECT_STORE_BYTES}
        if self._address not in (None, "auto"):
            _require_listener(self._address)
        try:
            self._ray.init(
                address=self._address or "local",
                log_to_driver=False,
                logging_level=logging.ERROR,
                **({} if self._address else {**ours, "include_dashboard": False}),
            )
        except (ConnectionError, RuntimeError, ValueError) as error:  # what Ray raises, by what it was told
            where = self._address or "a cluster on this machine"
            reason = str(error).strip().partition("\n")[0]
            raise InputError(f"Ray does not connect: {reason}", where=where, remedy=_ADDRESSES) from error
        self._ours = True

    def _window(self) -> int:
        if self._workers is not None and self._address is not None:
            return self._workers
        return max(_TASKS_IN_HAND_AT_LEAST, self.workers * _TASKS_IN_HAND_PER_WORKER)

    def _visit_nodes(self, mark: "Mark") -> None:
        """Ask every machine before any work is done there, for its task would otherwise come as late as it likes."""
        import_extra("ray.util.scheduling_strategies", "--engine ray")
        on = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
        visit = self._ray.remote(num_cpus=0, max_retries=0)(check_node)
        visits = {
            visit.options(scheduling_strategy=on(node_id=node["NodeID"], soft=False)).remote(mark): node
            for node in self._ray.nodes()
            if node["Alive"] and node["Resources"].get("CPU", 0) >= 1
        }
        errors = self._ray.exceptions
        for reference, node in visits.items():
            try:
                self._ray.get(reference)
            except errors.RayTaskError as error:
                if isinstance(error.cause, BatchwrightError):
                    raise error.cause from None
                raise _cannot_run(node["NodeManagerHostname"], error) from error
            except errors.RayError as error:
                if any(other["Alive"] and other["NodeID"] == node["NodeID"] for other in self._ray.nodes()):
                    raise _cannot_run(node["NodeManagerHostname"], error) from error

    def _wait(self, in_hand: Iterable[Any]) -> list[Any]:
        """Tasks that ended. Raises ResourceError when the cluster has had no core for too long."""
        without_cores_seconds = 0.0
        while True:
            done, _ = self._ray.wait(list(in_hand), timeout=_LOOK_SECONDS)
            if done:
                return done
            has_cores = self._ray.cluster_resources().get("CPU", 0) >= 1
            without_cores_seconds = 0.0 if has_cores else without_cores_seconds + _LOOK_SECONDS
            if without_cores_seconds >= self._patience_seconds:
                raise ResourceError(
                    f"the cluster has had no core for {without_cores_seconds:.0f} s",
                    remedy="start a node (`ray start --address …`) and run the same command again: it goes on",
                )

    def _result(self, reference: Any) -> Manifest:
        errors = self._ray.exceptions
        try:
            return self._ray.get(reference)
        except errors.RayTaskError as error:
            if isinstance(error.cause, BatchwrightError):
                raise error.cause from None
            raise  # a mistake of our own, with the traceback of where it happened
        except errors.RayError as error:
            raise ResourceError(
                f"workers or their nodes died {self._attempts} times with the same task in hand: "
                + str(error).strip().splitlines()[0],
                remedy="this is most often memory running out: give each task more of it (fewer workers per node), "
                "then run the same command again: it goes on",
            ) from error

    def _let_end(self, in_hand: Iterable[Any], marks: Iterable["Mark"]) -> None:
        """After a failure nothing new begins: a task that finds no mark refuses. Not by `ray.cancel`: a reply that
        crosses it ends the process that asked, without a word (a failed check in Ray 2.60's task manager)."""
        for mark in marks:
            Path(mark.path).unlink(missing_ok=True)
        left = list(in_hand)
        if left:
            self._ray.wait(left, num_returns=len(left), timeout=_LOOK_SECONDS)


def _require_listener(address: str) -> None:
    """Raises InputError where nothing listens: Ray itself would try again and again for a quarter of an hour."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise InputError(f"{address!r} is no address of a Ray cluster", remedy=_ADDRESSES)
    try:
        socket.create_connection((host, int(port)), timeout=_LOOK_SECONDS).close()
    except OSError as error:
        raise InputError(f"no Ray cluster answers ({error})", where=address, remedy=_ADDRESSES) from error


@dataclass(frozen=True)
class Mark:
    """A file that the driver put into the job's directory, and what it says: who reads it sees that directory."""

    path: str
    word: str
    version: str


@contextmanager
def _mark(output: str) -> Generator[Mark]:
    word = secrets.token_hex(16)
    path = Path(output) / f".{word}{TEMPORARY_SUFFIX}"
    with translated(path):
        path.write_text(word)
    try:
        yield Mark(path=str(path), word=word, version=version("batchwright"))
    finally:
        path.unlink(missing_ok=True)


def check_node(mark: Mark) -> None:
    """Raises InputError, naming this machine, when it cannot take part."""
    here = os.uname().nodename
    if version("batchwright") != mark.version:
        raise InputError(
            f"a node of the cluster has batchwright {version('batchwright')}, the job is one of {mark.version}",
            where=here,
            remedy=f"pip install batchwright=={mark.version} on every node",
        )
    try:
        seen = Path(mark.path).read_text()
    except OSError:
        seen = ""
    if seen != mark.word:
        raise InputError(
            f"a node of the cluster does not see the job's directory {Path(mark.path).parent}",
            where=here,
            remedy="put sources and --out into a directory that all nodes share under the same path (NFS, Lustre …)",
        )


def run_on_node(task: Task, mark: Mark) -> Manifest:
    """What a worker of the cluster does. The node may have joined after the others were visited."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    check_node(mark)
    return run_task(task)


def _cannot_run(node: str, error: Exception) -> InputError:
    return InputError(
        f"a node of the cluster cannot run batchwright: {str(error).strip().splitlines()[-1]}",
        where=node,
        remedy=f"pip install 'batchwright[ray]=={version('batchwright')}' on every node",
    )
