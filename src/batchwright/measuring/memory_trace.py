"""Exact accounting of the tensor memory of real code: every storage that lives, when, how large, made by which
operation.

A `MemoryTrace` is a dispatch mode: while it is entered, it sees every tensor an operation returns, books its storage
once (views share it), and books the release when the last reference is gone. It works on real CPU tensors and, at a
thousandth of the time, under `FakeTensorMode`, where a 124 M model is traced in about a second without allocating it.

    with MemoryTrace() as trace:            #        bytes │      ╭─╮  loss
        trace.label(model.parameters(), "weights")  #      │  ╭───╯ ╰╮ backward
        with trace.phase("forward"): …              #      │──╯      ╰─── optimizer
    report = trace.report()                 #              └────────────▶ events

What it sees: everything the dispatcher returns. What it cannot see: scratch that a kernel allocates and frees inside
itself (on CPU the attention kernel's per-thread buffers: tests hold the trace against the allocator's own events and
state the gap), and the allocator's rounding and fragmentation (on GPUs reserved memory lies 13–17 % above active
memory). Resident set size is no reference for either (it was off by −46 … +50 %). Price: ~10 µs per operation; the
event log holds one entry per storage.
"""

import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from batchwright.foundation.errors import InputError

EXISTING = "existing"
"""The operation of a storage that was made before the trace began or outside torch: booked when first touched."""


@dataclass(slots=True)
class Allocation:
    """One storage: what the report groups by. `part` is filled in by `label` or, failing that, by the report's rule."""

    nbytes: int
    phase: str
    operation: str
    dtype: str
    shape: tuple[int, ...]
    part: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryReport:
    """The moment of the peak, and the peak of every phase, in bytes of live storages."""

    peak_bytes: int
    peak_phase: str
    parts: dict[str, int]
    """Bytes at the peak, by part."""
    phase_peaks: dict[str, int]
    at_peak: tuple[Allocation, ...]
    """Every storage alive at the peak, largest first."""
    live_bytes: int
    """What is still alive at the end of the traced stretch."""


def part_or_phase(allocation: Allocation) -> str:
    """The plainest rule: the label if there is one, else the phase in which the storage was made."""
    return allocation.part or allocation.phase


class MemoryTrace(TorchDispatchMode):
    """Books storages while entered; the log outlives it. One trace belongs to one thread.

    `granularity` rounds every storage up (512 is what CUDA's caching allocator does; 1 on a CPU).
    """

    def __init__(self, *, granularity: int = 1) -> None:
        super().__init__()
        if granularity < 1:
            raise InputError(f"storages are rounded up to a multiple of at least 1 byte, not {granularity}")
        self._granularity = granularity
        self._phase = "start"
        self._known: dict[int, Allocation] = {}
        self._log: list[_Event] = []

    @property
    def mark(self) -> int:
        """The present place in the log: `report(since=mark)` looks only at what follows."""
        return len(self._log)

    @property
    def current_phase(self) -> str:
        return self._phase

    def enter_phase(self, name: str) -> None:
        """From here on, storages belong to this phase (for hooks, which cannot hold a `with` open)."""
        self._phase = name
        self._log.append(_Event(phase=name))

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        before = self._phase
        self.enter_phase(name)
        try:
            yield
        finally:
            self.enter_phase(before)

    def label(self, tensors: Iterable[torch.Tensor], part: str) -> None:
        """Names what these storages are; books them if they were made before the trace began.

        A later label also holds for earlier moments: a gradient is labelled when backward is over and counts as a
        gradient at the peak inside it.
        """
        for tensor in tensors:
            allocation = self._book(tensor, EXISTING)
            if allocation is not None:
                allocation.part = part

    def report(self, *, since: int = 0, part_of: Callable[[Allocation], str] = part_or_phase) -> MemoryReport:
        """Replays the log: exact peak after `since`, what was alive at it, grouped by `part_of`."""
        live: dict[int, Allocation] = {}
        phase, now = "start", 0
        peak, peak_at, peak_phase = -1, 0, ""
        phase_peaks: dict[str, int] = {}
        for place, event in enumerate(self._log):
            phase = event.phase or phase
            now += event.delta
            if place < since:
                continue
            phase_peaks[phase] = max(phase_peaks.get(phase, 0), now)
            if now > peak:
                peak, peak_at, peak_phase = now, place, phase
        for event in self._log[: peak_at + 1]:
            event.apply(live)
        parts: dict[str, int] = {}
        for allocation in live.values():
            part = part_of(allocation)
            parts[part] = parts.get(part, 0) + allocation.nbytes
        return MemoryReport(
            peak_bytes=max(peak, 0),
            peak_phase=peak_phase,
            parts=dict(sorted(parts.items(), key=lambda item: -item[1])),
            phase_peaks=phase_peaks,
            at_peak=tuple(sorted(live.values(), key=lambda allocation: -allocation.nbytes)),
            live_bytes=now,
        )

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        for tensor in _tensors_in((*args, *(kwargs or {}).values())):
            self._book(tensor, EXISTING)
        result = func(*args, **(kwargs or {}))
        name = str(func.overloadpacket) if hasattr(func, "overloadpacket") else str(func)
        for tensor in _tensors_in(result):
            self._book(tensor, name)
        return result

    def _book(self, tensor: torch.Tensor, operation: str) -> Allocation | None:
        storage = tensor.untyped_storage()
        handle = storage._cdata
        size = -(-storage.nbytes() // self._granularity) * self._granularity
        allocation = self._known.get(handle)
        if allocation is not None:
            if allocation.nbytes != size:
                # A storage resized in place: the log gets the difference, the entry the new size.
                self._log.append(_Event(delta=size - allocation.nbytes))
                allocation.nbytes = size
            return allocation
        if size == 0:
            return None
        allocation = Allocation(
            nbytes=size,
            phase=self._phase,
            operation=operation,
            dtype=str(tensor.dtype).removeprefix("torch."),
            shape=tuple(tensor.shape),
        )
        self._known[handle] = allocation
        self._log.append(_Event(delta=size, handle=handle, made=allocation))
        weakref.finalize(storage, self._release, handle).atexit = False
        return allocation

    def _release(self, handle: int) -> None:
        allocation = self._known.pop(handle, None)
        if allocation is not None:
            self._log.append(_Event(delta=-allocation.nbytes, handle=handle))


@dataclass(slots=True)
class _Event:
    """One line of the log: a storage made (`made`), released (`handle` alone) or resized, or a phase entered."""

    delta: int = 0
    handle: int = field(default=-1)
    made: Allocation | None = None
    phase: str = ""

    def apply(self, live: dict[int, Allocation]) -> None:
        if self.made is not None:
            live[self.handle] = self.made
        elif self.handle >= 0:
            live.pop(self.handle, None)


def _tensors_in(result: Any) -> Iterator[torch.Tensor]:
    if isinstance(result, torch.Tensor):
        yield result
    elif isinstance(result, (tuple, list)):
        for item in result:
            yield from _tensors_in(item)
