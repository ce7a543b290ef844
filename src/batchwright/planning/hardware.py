"""What this machine offers, as plain numbers: the planner takes them as arguments and asks no machine itself. Costs ~1
ms."""

import os
from dataclasses import dataclass

import psutil

from batchwright.foundation.errors import InputError
from batchwright.foundation.units import format_bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Hardware:
    """Cores a process may use, and memory. No accelerator is looked for: that needs torch, which planning does
    without."""

    cores: int
    memory_bytes: int
    available_bytes: int

    def __post_init__(self) -> None:
        if self.cores < 1 or self.memory_bytes < 1 or self.available_bytes < 0:
            raise InputError(
                f"a machine has at least one core and some memory, not {self.cores} cores and {self.memory_bytes} bytes"
            )

    def describe(self) -> str:
        total, available = format_bytes(self.memory_bytes), format_bytes(self.available_bytes)
        return f"{self.cores} cores, {total} of memory, {available} of it free"


def this_machine() -> Hardware:
    """Cores this process may run on (its affinity, not the box's count), total memory and what is available now.

    A container's limit counts where it is the smaller: it is what kills the process.
    """
    memory = psutil.virtual_memory()
    limit = _container_limit_bytes()
    total = memory.total if limit is None else min(memory.total, limit)
    return Hardware(cores=_usable_cores(), memory_bytes=total, available_bytes=min(memory.available, total))


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _container_limit_bytes() -> int | None:
    """The memory limit of a Linux control group (version 2, then 1), or None."""
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            with open(path, encoding="ascii") as file:
                text = file.read().strip()
        except OSError:
            continue
        if text.isdigit():
            return int(text)
    return None
