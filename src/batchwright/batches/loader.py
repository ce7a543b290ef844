"""The loader: steps of (B, T) micro-batches whose whole state is one position.

    for step in loader:                       # endless, from the committed position on
        for batch in step: ...                # this rank's micro-batches, the same number on every rank
        loader.acknowledge(step)              # only now the position moves
    checkpoint["data"] = loader.state()       # {"position": …, "plan": …}, the same on every rank, < 1 KB

Guarantee: the sequences of a step are a function of (plan, position, global batch size) alone; ranks, micro-batches,
prefetch and restarts only cut them differently. Any step can be built at any time (`step_at`). Price: a batch costs
~15 µs and ~1 ns per token, the certificate as much again (`certify=False` leaves it out); buffers of `ring`
micro-batches.

How long a batch lives: one taken from the endless loop stays valid until the `ring`-th batch after it is taken
(default: a whole step's micro-batches); one from `step_at` has memory of its own.
"""

from collections.abc import Generator, Iterator
from itertools import chain, count, cycle, islice
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from batchwright.batches.batch import Batch
from batchwright.batches.buffers import Allocate, BatchArrays, new_arrays
from batchwright.batches.certificate import Certifier
from batchwright.batches.collate import Collator
from batchwright.batches.geometry import BatchGeometry
from batchwright.batches.prefetch import prefetched
from batchwright.batches.step import Step
from batchwright.foundation.errors import InputError
from batchwright.sequences.plan import Plan, differing
from batchwright.sequences.sampler import Sampler


class BatchLoader:
    """One data-parallel rank's view of a plan."""

    def __init__(
        self,
        plan: Plan,
        geometry: BatchGeometry,
        *,
        rank: int = 0,
        ids_dtype: DTypeLike = np.int64,
        ring: int | None = None,
        prefetch: int = 0,
        certify: bool = True,
        allocate: Allocate | None = None,
    ) -> None:
        self.plan, self.geometry, self.rank = plan, geometry, rank
        self._parts = [geometry.rows_of_micro_batch(rank, number) for number in range(geometry.accumulation)]
        self._dtype = np.dtype(ids_dtype)
        self._ring = geometry.accumulation if ring is None else ring
        self._prefetch, self._certify, self._allocate = prefetch, certify, allocate
        check_fit(plan, geometry)
        check_dtype(self._dtype, plan.index.stored.vocabulary_size)
        if self._ring < 1 or prefetch < 0:
            raise InputError(
                f"a ring of {self._ring} buffers and {prefetch} prefetched", remedy="ring ≥ 1, prefetch ≥ 0"
            )
        self._sampler = Sampler(plan)
        self._collator = Collator(plan.index)
        self._position = 0

    @property
    def position(self) -> int:
        """The first position that no acknowledged step has covered."""
        return self._position

    def __iter__(self) -> Generator[Step]:
        """Steps from the position on, without end. Epochs follow each other; a step may lie in two of them."""
        position, size = self._position, self.geometry.global_batch_size
        ring = cycle([self._memory() for _ in range(self._ring + self._prefetch)])
        certifier = self._certifier()
        ahead: Generator[Batch] | None = None
        if self._prefetch:
            steps = (self._step(at, ring, certifier) for at in count(position, size))
            ahead = prefetched(chain.from_iterable(steps), self._prefetch)
        try:
            for at in count(position, size):
                step = self._step(at, ring, certifier)
                if ahead is not None:
                    step.batches = islice(ahead, len(step))
                yield step
                step.drain()
        finally:
            if ahead is not None:
                ahead.close()

    def step_at(self, number: int) -> Step:
        """Step `number` of a run that has this geometry from position 0 on; any, at any time."""
        return self.step_from(number * self.geometry.global_batch_size)

    def step_from(self, position: int) -> Step:
        """The step whose first sequence stands at `position`, in memory of its own."""
        fresh = (self._memory() for _ in count())
        return self._step(position, fresh, self._certifier())

    def acknowledge(self, step: Step) -> None:
        """Commit a step: its update is done. Raises InputError for any step but the next one."""
        if step.first_position != self._position:
            raise InputError(
                f"the step at position {step.first_position:,} is acknowledged, the next stands at {self._position:,}",
                remedy="acknowledge every step once, in order",
            )
        self._position = step.stop_position

    def state(self) -> dict[str, Any]:
        """Position and plan as JSON, below 1 KB; valid for every rank and every geometry."""
        return {"position": self._position, "plan": self.plan.hash, "stage": self.plan.stage.to_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state; loops begun afterwards start there. Raises InputError naming what differs when the state
        belongs to another plan."""
        if state.get("plan") != self.plan.hash:
            differences = list(differing(state.get("stage"), self.plan.stage.to_dict()))
            raise InputError(
                "this state belongs to another plan, so its position means other data: "
                + ("; ".join(differences) or f"plan {state.get('plan')} there, {self.plan.hash} here"),
                remedy="resume with the store, packing, T and seed that it was made with, or start a new run",
            )
        position = state.get("position")
        if not isinstance(position, int) or position < 0:
            raise InputError(f"{position!r} is not a position", remedy="a whole number from 0")
        self._position = position

    def _memory(self) -> BatchArrays:
        size, length = self.geometry.micro_batch_size, self.geometry.sequence_length
        return new_arrays(size, length, self._dtype, self._allocate, read_soon=self._certify)

    def _certifier(self) -> Certifier | None:
        return Certifier(self.geometry.sequence_length) if self._certify else None

    def _step(self, position: int, memory: Iterator[BatchArrays], certifier: Certifier | None) -> Step:
        rows, epochs = self._sampler.rows_at(position, self.geometry.global_batch_size)
        return Step(
            first_position=position,
            geometry=self.geometry,
            targets=self.plan.index.targets_of(rows),
            batches=self._batches(position, rows, epochs, memory, certifier),
            certified=self._certify,
        )

    def _batches(
        self,
        position: int,
        rows: NDArray[np.int64],
        epochs: NDArray[np.int64],
        memory: Iterator[BatchArrays],
        certifier: Certifier | None,
    ) -> Iterator[Batch]:
        """This rank's micro-batches of a step, each laid into the next piece of memory when it is asked for."""
        for begin, stop in self._parts:
            yield self._collator.collate(
                next(memory), rows[begin:stop], epochs[begin:stop], position + begin, certifier
            )


def check_fit(plan: Plan, geometry: BatchGeometry) -> None:
    """Raises InputError when a batch cannot be cut from this plan."""
    if geometry.sequence_length != plan.sequence_length:
        raise InputError(
            f"the geometry has sequences of {geometry.sequence_length:,} tokens, the plan of {plan.sequence_length:,}"
        )
    rows = plan.index.row_count
    if geometry.global_batch_size > rows:
        raise InputError(
            f"a global batch of {geometry.global_batch_size:,} sequences is larger than the data: "
            f"an epoch has {rows:,} rows of {plan.sequence_length:,} tokens",
            remedy=f"a global batch of at most {rows:,}, a smaller sequence length, or more text",
        )


def check_dtype(dtype: np.dtype[Any], vocabulary_size: int) -> None:
    """Raises InputError when ids of this vocabulary do not fit."""
    if dtype.kind not in "iu" or np.iinfo(dtype).max < vocabulary_size - 1:
        raise InputError(
            f"ids of a vocabulary of {vocabulary_size:,} do not fit {dtype}",
            remedy="int64, or uint16 up to 65,536 ids and uint32 above",
        )
