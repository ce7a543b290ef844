"""What this machine can do for batchwright, checked one by one. Milliseconds; torch is looked up, not imported."""

import locale
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from batchwright.foundation.units import GiB, format_bytes
from batchwright.planning.hardware import this_machine

REQUIRED = ("numpy", "numba", "tokenizers", "pyarrow", "orjson", "xxhash", "safetensors", "psutil", "rich")
FOR_TRAINING = ("torch", "matplotlib")
FOR_SPEED = ("gigatoken",)
EXTRAS = {"transformers": ("hf", "models from a config.json"), "tensorboard": ("tensorboard", "curves in TensorBoard")}
COMFORTABLE_MEMORY_BYTES = 2 * GiB
COMFORTABLE_DISK_BYTES = 1 * GiB


@dataclass(frozen=True, kw_only=True)
class Check:
    """One fact about the machine. `needed` says whether anything fails without it."""

    name: str
    value: str
    ok: bool
    needed: bool = True
    remedy: str | None = None


def examine_machine(directory: Path) -> list[Check]:
    return [*_interpreter(), *_hardware(directory), *_packages(), *_terminal()]


def packages() -> dict[str, str]:
    """Installed versions of everything a result may depend on."""
    return {
        name: found for name in (*REQUIRED, *FOR_TRAINING, *FOR_SPEED, *EXTRAS) if (found := _version(name)) is not None
    }


def to_json(checks: list[Check]) -> dict[str, Any]:
    return {"ok": all(c.ok or not c.needed for c in checks), "checks": [asdict(c) for c in checks]}


def _interpreter() -> Iterator[Check]:
    ok = sys.version_info >= (3, 11)
    yield Check(
        name="python",
        value=f"{platform.python_version()} ({platform.python_implementation()})",
        ok=ok,
        remedy=None if ok else "Python 3.11 or newer",
    )
    yield Check(name="system", value=f"{platform.system()} {platform.release()}, {platform.machine()}", ok=True)
    yield Check(
        name="byte order",
        value=sys.byteorder,
        ok=sys.byteorder == "little",
        remedy=None if sys.byteorder == "little" else "token stores are little-endian: use another machine",
    )


def _hardware(directory: Path) -> Iterator[Check]:
    machine, free = this_machine(), shutil.disk_usage(directory).free
    yield Check(name="cores", value=str(machine.cores), ok=True)
    enough = machine.available_bytes >= COMFORTABLE_MEMORY_BYTES
    yield Check(
        name="memory",
        value=f"{format_bytes(machine.memory_bytes)}, {format_bytes(machine.available_bytes)} free",
        ok=enough,
        needed=False,
        remedy=None if enough else f"the demo wants {format_bytes(COMFORTABLE_MEMORY_BYTES)} free",
    )
    roomy = free >= COMFORTABLE_DISK_BYTES
    yield Check(
        name="disk",
        value=f"{format_bytes(free)} free in {directory}",
        ok=roomy,
        needed=False,
        remedy=None if roomy else f"the demo wants {format_bytes(COMFORTABLE_DISK_BYTES)}",
    )
    writable = os.access(directory, os.W_OK)
    yield Check(
        name="writable",
        value=str(directory),
        ok=writable,
        needed=False,
        remedy=None if writable else "choose another directory with --out",
    )


def _packages() -> Iterator[Check]:
    for name in REQUIRED:
        found = _version(name)
        yield Check(name=name, value=found or "missing", ok=found is not None, remedy=None if found else "make setup")
    for name in FOR_TRAINING:
        found = _version(name)
        remedy = None if found else "pip install 'batchwright[train]' (train, measure and demo need it)"
        yield Check(name=name, value=found or "missing", ok=found is not None, needed=False, remedy=remedy)
    for name in FOR_SPEED:
        found = _version(name)
        remedy = None if found else "without it `tokenizers` does the same work, several times slower"
        yield Check(name=name, value=found or "missing", ok=found is not None, needed=False, remedy=remedy)
    for name, (extra, purpose) in EXTRAS.items():
        found = _version(name)
        remedy = None if found else f"pip install 'batchwright[{extra}]' ({purpose})"
        yield Check(name=name, value=found or "missing", ok=found is not None, needed=False, remedy=remedy)


def _terminal() -> Iterator[Check]:
    encoding = (sys.stdout.encoding or "ascii").lower()
    draws = encoding.replace("-", "") == "utf8"
    yield Check(
        name="terminal",
        value=f"{encoding}, locale {locale.getlocale()[0] or 'C'}",
        ok=draws,
        needed=False,
        remedy=None if draws else "set PYTHONUTF8=1: pictures and Chinese need UTF-8",
    )


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
