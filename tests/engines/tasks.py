"""What the tests let engines do: pure tasks, some that fail, some that kill the worker they run in."""

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from batchwright.foundation.errors import CorruptDataError
from batchwright.foundation.execution import Manifest, Task
from batchwright.foundation.files import write_atomic


def square(parameters: Mapping[str, Any], prefix: Path) -> Manifest:
    with (prefix.parent / "calls.log").open("a") as log:
        log.write(f"{parameters['n']}\n")
    write_atomic(prefix.with_suffix(".txt"), str(parameters["n"] ** 2).encode())
    return {"n": parameters["n"], "square": parameters["n"] ** 2}


def fail_at_three(parameters: Mapping[str, Any], prefix: Path) -> Manifest:
    if parameters["n"] == 3:
        raise CorruptDataError("number three is broken", where="three", remedy="take four")
    return square(parameters, prefix)


def mistaken(parameters: Mapping[str, Any], prefix: Path) -> Manifest:
    raise KeyError("our own mistake")


def die_once(parameters: Mapping[str, Any], prefix: Path) -> Manifest:
    mark = prefix.parent / "died"
    if parameters["n"] == 5 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return square(parameters, prefix)


def die_always(parameters: Mapping[str, Any], prefix: Path) -> Manifest:
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def slow(parameters: Mapping[str, Any], prefix: Path) -> Manifest:
    time.sleep(0.2)
    return square(parameters, prefix)


def tasks(function: str, output: Path, count: int = 8) -> list[Task]:
    return [Task(function=f"{__name__}:{function}", parameters={"n": n}, output=str(output)) for n in range(count)]


def who(parameters: Mapping[str, Any], prefix: Path) -> Manifest:
    return {"process": os.getpid()}
