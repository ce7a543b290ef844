"""The loader: steps of (B, T) micro-batches whose whole state is one position.

    for step in loader:                       # endless, from the committed position on
        for batch in step: ...                # this rank's micro-batches, the same number on every rank
        loader.acknowledge(step)              # only now the position moves
    checkpoint["data"] = loader.state()       # {"position": …, "plan": …}, the same on every rank, < 1 KB

Guarantee: the sequences of a step are a function of (plan, position, batch rule) alone; ranks, micro-batches,
prefetch and restarts only cut them differently, and may change at any step (a new loader, the restored state). Any
step can be built at any time (`step_at`). Price: a batch costs ~15 µs and ~1 ns per token, the certificate as much
again (`certify=False` leaves it out); buffers of `ring` micro-batches.

How long a batch lives: one taken from the endless loop stays valid until the `ring`-th batch after it is taken
(default: a whole step's micro-batches); one from `step_at` has memory of its own.
"""

from collections.abc import Generator, Iterator
from functools import lru_cache
from itertools import chain, islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from batchwright.batches.balance import even_layout
from batchwright.batches.batch import Batch
from batchwright.batches.buffers import Allocate
from batchwright.batches.collate import Collator
from batchwright.batches.empty_step import no_target
from batchwright.batches.geometry import BatchGeometry
from batchwright.batches.prefetch import prefetched
from batchwright.batches.schedule import BatchSchedule, ScheduledGeometry
from batchwright.batches.state import position_from, state_of
from batchwright.batches.step import Step
from batchwright.batches.workspace import Workspace
from batchwright.foundation.errors import InputError
from batchwright.sequences.budget import Exhaustion, exhaustions
from batchwright.sequences.plan import Plan
from batchwright.sequences.sampler import PlacedRows, Sampler
from batchwright.sequences.timeline import Timeline


class _Cut(NamedTuple):
    """How the steps of one size and T are cut: this rank's micro-batches, and every rank's number of rows."""

    geometry: BatchGeometry
    parts: list[tuple[int, int]]
    rooms: NDArray[np.int64]


class BatchLoader:
    """One data-parallel rank's view of a plan.

    `geometry`: a `BatchGeometry` for batches of one size, a `ScheduledGeometry` where a rule says the size.
    `even_attention` lays a step's rows over the ranks so that Σ L² is even (see `balance`).
    """

    def __init__(
        self,
        plan: Plan,
        geometry: BatchGeometry | ScheduledGeometry,
        *,
        rank: int = 0,
        ids_dtype: DTypeLike = np.int64,
        ring: int | None = None,
        prefetch: int = 0,
        certify: bool = True,
        even_attention: bool = False,
        allocate: Allocate | None = None,
    ) -> None:
        if isinstance(geometry, BatchGeometry):
            timeline = Timeline(plan)
            refuse_two_rules(plan, geometry)
            self.schedule = BatchSchedule.of(plan, geometry.global_batch_size, timeline=timeline)
            self.geometry, self._adapts = geometry, False
        else:
            self.schedule, self.geometry, self._adapts = geometry.schedule, geometry.first, True
            timeline = self.schedule.timeline
            if timeline.plan.hash != plan.hash:
                raise InputError("the schedule was made for another plan", remedy="BatchSchedule(plan)")
        self.plan, self.rank, self.timeline = plan, rank, timeline
        self.geometry.rows_of(rank)
        self._dtype = np.dtype(ids_dtype)
        self._ring, self._prefetch, self._allocate = ring, prefetch, allocate
        self._certify, self._even = certify, even_attention
        check_fit(self.schedule, self.geometry)
        check_dtype(self._dtype, timeline.streams[0].index.stored.vocabulary_size)
        if (ring is not None and ring < 1) or prefetch < 0:
            raise InputError(f"a ring of {ring} buffers and {prefetch} prefetched", remedy="ring ≥ 1, prefetch ≥ 0")
        self._sampler = Sampler(plan, timeline)
        self._collator = Collator(*(stream.index for stream in timeline.streams))
        self._end = next(iter(exhaustions(timeline)), None)
        self._cut = lru_cache(maxsize=64)(self._cut_anew)
        self._position = 0

    @property
    def position(self) -> int:
        """The position after the last one that an acknowledged step has eaten."""
        return self._position

    def __iter__(self) -> Generator[Step]:
        """Steps from the position on, without end. Epochs follow each other; a step may lie in two of them. Raises
        InputError at the step that an epoch cap forbids."""
        workspace = self._workspace(ring=self._ring, ahead=self._prefetch)
        ahead: Generator[Batch] | None = None
        if self._prefetch:
            ahead = prefetched(chain.from_iterable(self._steps(workspace)), self._prefetch)
        try:
            for step in self._steps(workspace):
                if ahead is not None:
                    step.batches = islice(ahead, len(step))
                yield step
                step.drain()
        finally:
            if ahead is not None:
                ahead.close()

    def step_at(self, number: int) -> Step:
        """Step `number` of the run from position 0 on; any, at any time."""
        return self.step_from(self.schedule.step_at(number).first_position)

    def step_from(self, position: int) -> Step:
        """The step that begins at `position`, in memory of its own."""
        return self._step(position, self._workspace(reuse=False))

    def require_target(self, step: Step) -> None:
        """Raises InputError when a loss mask leaves out every token of a step. The endless loop asks; `step_at` and
        `step_from` show such steps, too."""
        if step.targets == 0:
            raise no_target(step.place, self._sampler.place(step.place.spans), self._collator.indexes)

    def acknowledge(self, step: Step) -> None:
        """Commit a step: its update is done. Raises InputError for any step but the next one."""
        eaten = self.timeline.skipped.eaten_before(self._position)
        if step.place.first_eaten != eaten:
            raise InputError(
                f"the step at position {step.first_position:,} is acknowledged, the next stands at "
                f"{self.timeline.skipped.position_at(eaten):,}",
                remedy="acknowledge every step once, in order",
            )
        self._position = step.stop_position

    def state(self) -> dict[str, Any]:
        """Position and plan as JSON, below 1 KB; valid for every rank and every geometry."""
        return state_of(self.plan, self._position)

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state; loops begun afterwards start there. Raises InputError naming what differs when the state
        belongs to a plan that this one does not go on from."""
        self._position = position_from(state, self.plan)

    def _workspace(self, *, ring: int | None = None, ahead: int = 0, reuse: bool = True) -> Workspace:
        return Workspace(
            dtype=self._dtype, allocate=self._allocate, certify=self._certify, ring=ring, ahead=ahead, reuse=reuse
        )

    def _steps(self, workspace: Workspace) -> Iterator[Step]:
        position = self._position
        while True:
            step = self._step(position, workspace)
            self.require_target(step)
            yield step
            position = step.stop_position

    def _step(self, position: int, workspace: Workspace) -> Step:
        place = self.schedule.step_from(position)
        if self._end is not None and place.stop_position > self._end.position:
            raise exhausted(self._end, self.schedule)
        cut = self._cut(place.size, place.sequence_length)
        placed = self._sampler.place(place.spans)
        return Step(
            place=place,
            geometry=cut.geometry,
            targets=self._collator.targets_of(placed),
            batches=self._batches(placed, cut, workspace),
            certified=self._certify,
        )

    def _batches(self, placed: PlacedRows, cut: _Cut, workspace: Workspace) -> Iterator[Batch]:
        """This rank's micro-batches of a step, each laid into the next piece of memory when it is asked for."""
        workspace.enter(cut.geometry)
        laid = self._laid(placed, cut)
        for begin, stop in cut.parts:
            part = slice(begin, stop) if laid is None else laid[begin:stop]
            yield self._collator.collate(workspace.take(), placed.part(part), workspace.certifier)

    def _laid(self, placed: PlacedRows, cut: _Cut) -> NDArray[np.int64] | None:
        """The step's rows in the order of ranks; None: as they are."""
        if not self._even or cut.rooms.shape[0] == 1:
            return None
        return even_layout(self._collator.attention_costs(placed, cut.geometry.sequence_length), cut.rooms)

    def _cut_anew(self, size: int, sequence_length: int) -> _Cut:
        geometry = self.geometry.for_step(size, sequence_length)
        geometry = geometry.without_idle_micro_batch() if self._adapts else geometry
        spans = [geometry.rows_of(rank) for rank in range(geometry.world_size)]
        return _Cut(
            geometry=geometry,
            parts=[geometry.rows_of_micro_batch(self.rank, number) for number in range(geometry.accumulation)],
            rooms=np.array([stop - first for first, stop in spans], np.int64),
        )


def refuse_two_rules(plan: Plan, geometry: BatchGeometry) -> None:
    """Raises InputError when the plan's stages say how large a batch is and the geometry says it too."""
    if any(stage.batch is not None for stage in plan.stages):
        raise InputError(
            f"the plan says how large a batch is, and so does the geometry ({geometry.global_batch_size:,} sequences)",
            remedy="ScheduledGeometry(schedule=BatchSchedule(plan), micro_batch_size=…, world_size=…)",
        )


def check_fit(schedule: BatchSchedule, geometry: BatchGeometry) -> None:
    """Raises InputError when the batches cannot be cut from the plan."""
    stretches = schedule.timeline.stretches
    lengths = sorted({stretch.sequence_length for stretch in stretches})
    if geometry.sequence_length not in lengths:
        raise InputError(
            f"the geometry has sequences of {geometry.sequence_length:,} tokens, the plan of "
            f"{' and '.join(f'{length:,}' for length in lengths)}"
        )
    for size, stretch in schedule.largest():
        rows = sum(source.index.row_count for source in stretch.stage.sources)
        if size > rows:
            raise InputError(
                f"a global batch of {size:,} sequences is larger than the data: "
                f"an epoch has {rows:,} rows of {stretch.sequence_length:,} tokens",
                remedy=f"a global batch of at most {rows:,}, a smaller sequence length, or more text",
            )


def exhausted(end: Exhaustion, schedule: BatchSchedule) -> InputError:
    """The error of a source that is read up to its cap."""
    step, place = schedule.step_of(end.position), schedule.step_at(schedule.step_of(end.position))
    return InputError(
        f"source {end.name!r} may be read {float(end.epoch_cap):g} times ({end.rows_allowed:,} rows), which is used up "
        f"at position {end.position:,}, in step {step:,}",
        remedy=f"a budget of at most {place.slots_before:,} slots, a smaller weight, a higher epoch cap, or a stage "
        f"without it from position {place.first_position:,} on",
    )


def check_budget(schedule: BatchSchedule, slots: int) -> None:
    """Raises InputError when a budget of slots would read a source more often than its cap allows: which, and at which
    step and position. Call it before the run starts."""
    steps = schedule.steps_for(slots)
    for end in exhaustions(schedule.timeline)[:1]:
        if schedule.step_of(end.position) < steps:
            raise exhausted(end, schedule).within(f"a budget of {slots:,} slots in {steps:,} steps")


def check_dtype(dtype: np.dtype[Any], vocabulary_size: int) -> None:
    """Raises InputError when ids of this vocabulary do not fit."""
    if dtype.kind not in "iu" or np.iinfo(dtype).max < vocabulary_size - 1:
        raise InputError(
            f"ids of a vocabulary of {vocabulary_size:,} do not fit {dtype}",
            remedy="int64, or uint16 up to 65,536 ids and uint32 above",
        )
