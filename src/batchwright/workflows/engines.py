"""Where a job is to run, by the name that a command gives: in processes of this machine, or on a Ray cluster.

Guarantee: what is written does not depend on the choice. One worker on this machine is no pool but this very process.
"""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Literal, get_args

from batchwright.engines.local import LocalExecutor, available_cores
from batchwright.engines.serial import SerialExecutor
from batchwright.foundation.errors import InputError, nearest
from batchwright.foundation.execution import Executor

EngineName = Literal["local", "ray"]


@contextmanager
def engine_named(
    name: EngineName = "local", *, workers: int | None = None, ray_address: str | None = None
) -> Generator[Executor]:
    """The executor, ended with the block. Raises InputError."""
    if name not in get_args(EngineName):
        raise _unknown(name, get_args(EngineName))
    if name == "ray":
        from batchwright.engines.ray import RayExecutor

        with RayExecutor(ray_address, workers) as cluster:
            yield cluster
        return
    if ray_address is not None:
        raise InputError(f"the Ray cluster at {ray_address} is given, and the engine is local", remedy="--engine ray")
    count = available_cores() if workers is None else workers
    if count == 1:
        yield SerialExecutor()
        return
    with LocalExecutor(count) as pool:
        yield pool


def _unknown(name: str, known: Sequence[str]) -> InputError:
    guess = nearest(name, known)
    return InputError(f"there is no engine {name!r}", remedy=f"{guess!r}" if guess else " or ".join(known))
