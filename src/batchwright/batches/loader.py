"""The loader: steps of (B, T) micro-batches whose whole state is one position.

    for step in loader:                       # endless, from the committed position on
        for batch in step: ...                # this rank's micro-batches, the same number on every rank
        loader.acknowledge(step)              # only now the position moves
    checkpoint["data"] = loader.state()       # {"position": …, "plan": …}, the same on every rank, < 1 KB

Guarantee: the sequences of a step are a function of (plan, position, global batch size) alone; ranks, micro-batches,
prefetch and restarts only cut them differently. Any step can be built at any time (`step_at`). Price: a batch costs
~15 µs and ~1 ns per token, the certificate as much again (`certify=False` leaves it out); buffers of `ring` micro-batches.

How long a batch lives: one taken from the endless loop stays valid until the `ring`-th batch after it is taken (default:
a whole step's micro-batches); one from `step_at` has memory of its own.
"""

from collections.abc import Generator, Iterator
from dataclasses import replace
from itertools import count, islice
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from batchwright.batches.batch import Batch
from batchwright.batches.buffers import Allocate, Buffers, new_buffers
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
        allocate: Allocate = np.empty,
    ) -> None:
        self.plan, self.geometry, self.rank = plan, geometry, rank
        self._first_row, self._stop_row = geometry.rows_of(rank)
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
        buffers = [self._buffers() for _ in range(self._ring + self._prefetch)]
        stream: Iterator[Batch] = self._batches_from(position, buffers)
        ahead = prefetched(stream, self._prefetch) if self._prefetch else None
        try:
            while True:
                step = self._step(position, islice(ahead or stream, self.geometry.accumulation))
                yield step
                step.drain()
                position += size
        finally:
            if ahead is not None:
                ahead.close()

    def step_at(self, number: int) -> Step:
        """Step `number` of a run that has this geometry from position 0 on; any, at any time."""
        return self.step_from(number * self.geometry.global_batch_size)

    def step_from(self, position: int) -> Step:
        """The step whose first sequence stands at `position`, in memory of its own."""
        buffers = (self._buffers() for _ in count())
        return self._step(position, islice(self._batches_from(position, buffers), self.geometry.accumulation))

    def acknowledge(self, step: Step) -> None:
        """Commit a step: its update is done. Raises InputError for any step but the next one."""
        if step.first_position != self._position:
            raise InputError(
                f"the step at position {step.first_position:,} is acknowledged, the next one stands at {self._position:,}",
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
                remedy="resume with the store, packing, sequence length and seed that it was made with, or start a new run",
            )
        position = state.get("position")
        if not isinstance(position, int) or position < 0:
            raise InputError(f"{position!r} is not a position", remedy="a whole number from 0")
        self._position = position

    def _buffers(self) -> Buffers:
        return new_buffers(self.geometry.micro_batch_size, self.geometry.sequence_length, self._dtype, self._allocate)

    def _step(self, position: int, batches: Iterator[Batch]) -> Step:
        rows, _ = self._sampler.rows_at(position, self.geometry.global_batch_size)
        return Step(
            first_position=position,
            geometry=self.geometry,
            targets=self.plan.index.targets_of(rows),
            batches=batches,
            certified=self._certify,
        )

    def _batches_from(self, position: int, buffers: Iterator[Buffers] | list[Buffers]) -> Iterator[Batch]:
        """This rank's micro-batches, step after step, without end; `buffers` is a ring or an endless supply."""
        supply = _round_and_round(buffers) if isinstance(buffers, list) else buffers
        certifier = Certifier(self.geometry.sequence_length)
        size = self._stop_row - self._first_row
        for step_position in count(position, self.geometry.global_batch_size):
            first = step_position + self._first_row
            rows, epochs = self._sampler.rows_at(first, size)
            for number in range(self.geometry.accumulation):
                begin, stop = self.geometry.rows_of_micro_batch(self.rank, number)
                part = slice(begin - self._first_row, stop - self._first_row)
                batch = self._collator.collate(next(supply), rows[part], epochs[part], step_position + begin)
                yield replace(batch, certificate=certifier.certificate(batch)) if self._certify else batch


def _round_and_round(ring: list[Buffers]) -> Iterator[Buffers]:
    while True:
        yield from ring


def check_fit(plan: Plan, geometry: BatchGeometry) -> None:
    """Raises InputError when a batch cannot be cut from this plan."""
    if geometry.sequence_length != plan.sequence_length:
        raise InputError(
            f"the geometry has sequences of {geometry.sequence_length:,} tokens, the plan of {plan.sequence_length:,}"
        )
    rows = plan.index.row_count
    if geometry.global_batch_size > rows:
        raise InputError(
            f"a global batch of {geometry.global_batch_size:,} sequences is larger than the data: an epoch has {rows:,} "
            f"rows of {plan.sequence_length:,} tokens",
            remedy=f"a global batch of at most {rows:,}, a smaller sequence length, or more text",
        )


def check_dtype(dtype: np.dtype[Any], vocabulary_size: int) -> None:
    """Raises InputError when ids of this vocabulary do not fit."""
    if dtype.kind not in "iu" or np.iinfo(dtype).max < vocabulary_size - 1:
        raise InputError(
            f"ids of a vocabulary of {vocabulary_size:,} do not fit {dtype}",
            remedy="int64, or uint16 up to 65,536 ids and uint32 above",
        )
