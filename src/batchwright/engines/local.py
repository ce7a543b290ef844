"""Tasks in a pool of processes on this machine: the default engine, with no server and no state of its own.

Guarantee: a worker killed from outside costs a retry of what it had in hand, not the job; workers die with their
parent, also when that one is killed. They stay from one `run` to the next, with what they have loaded, until the block
ends, something fails or nobody holds the executor. Price: ~1 s to start (processes are spawned, never forked, because
tokenizers and torch own threads), and one process's memory each.
"""

import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import Self

from batchwright.foundation.errors import InputError, ResourceError
from batchwright.foundation.execution import Manifest, Task, make_outputs, run_task
from batchwright.foundation.own_process import declare_own_process, is_own_process

_PR_SET_PDEATHSIG = 1
_TASKS_IN_HAND_PER_WORKER = 2


def _begin_worker(parent: int, of_our_own: bool) -> None:
    """Die with the parent, leave Ctrl-C to it, and keep libraries from starting a thread per core in every worker."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    if of_our_own:
        declare_own_process()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)


class LocalExecutor:
    """A pool of `workers` processes; `attempts` is how often the pool is rebuilt after a worker was killed."""

    def __init__(self, workers: int | None = None, *, attempts: int = 3) -> None:
        count = available_cores() if workers is None else workers
        if count < 1:
            raise InputError(f"a pool needs at least one worker, not {count}")
        self.workers = count
        self._attempts = attempts
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the workers when they have done what they are at; the next `run` begins others."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Manifest]]:
        left = {task.key: task for task in tasks}
        make_outputs(left.values())
        for _ in range(self._attempts):
            try:
                for task, manifest in self._run_in_one_pool(list(left.values())):
                    del left[task.key]
                    yield task, manifest
            except BrokenProcessPool:
                continue
            return
        raise ResourceError(
            f"worker processes were killed {self._attempts} times with {len(left)} tasks left",
            remedy="this is most often the system running out of memory: use fewer workers (--workers 1)",
        )

    def _run_in_one_pool(self, tasks: list[Task]) -> Iterator[tuple[Task, Manifest]]:
        if self._pool is None:  # it starts a process when there is a task and no idle one
            self._pool = ProcessPoolExecutor(
                self.workers,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_begin_worker,
                initargs=(os.getpid(), is_own_process()),
            )
        pool, finished = self._pool, False
        try:
            waiting = iter(tasks)
            in_hand: dict[Future[Manifest], Task] = {}
            while True:
                for task in islice(waiting, self.workers * _TASKS_IN_HAND_PER_WORKER - len(in_hand)):
                    in_hand[pool.submit(run_task, task)] = task
                if not in_hand:
                    finished = True
                    return
                for future in wait(in_hand, return_when=FIRST_COMPLETED).done:
                    task = in_hand.pop(future)
                    yield task, future.result()
        finally:
            if not finished:
                self.close()


def available_cores() -> int:
    """Cores this process may use (not those the machine has)."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
