"""Steps as arithmetic: which positions step i eats, and which step eats position n.

The batch rules of a plan (or one rule given for it) say a size for slots seen. Followed from position 0 they make
steps; the steps of one size that follow each other are a *run*, and the whole run of training is a table of runs:

    first step   first u   G        u counts positions that are not skipped (see `sequences.skipped`)
             0         0   16       step i of a run eats u in [first u + (i - first step)·G, … + G)
         3,906    62,496   17

- A threshold in slots, and a stage's new rule, act at the first step that starts at or after it.
- Slots are counted as eaten: skipped positions are not, and a position counts the T of its stage.
- Where a stage changes T the step before it ends, smaller if need be: a step has one T. Other stages may begin within
  a step.
- A step is made of the next G positions that are not skipped, so it may lie around a skipped range.

Guarantee: step ↔ position is a bijection between (step, row of it) and the positions not skipped, in order; `step_from`
any position says what the table says. Price: one run per threshold and per stage (GPT-3's ramp from 16 to 1,562: 1,547
runs, ~10 ms to compile), then one bisection per question. At most 65,536 runs.
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

from batchwright.batches.geometry import BatchGeometry
from batchwright.foundation.errors import InputError
from batchwright.sequences.batch_rule import BatchRule, ConstantBatch
from batchwright.sequences.plan import Plan
from batchwright.sequences.timeline import Stretch, Timeline

MOST_RUNS = 2**16


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """Steps of one size and one T, one after another; `steps` is None where they go on for ever."""

    first_step: int
    first_eaten: int
    slots_before: int
    size: int
    sequence_length: int
    steps: int | None


class StepPlace(NamedTuple):
    """Where a step lies: `spans` of (first position, count), `size` positions together."""

    first_eaten: int
    size: int
    sequence_length: int
    slots_before: int
    spans: list[tuple[int, int]]

    @property
    def first_position(self) -> int:
        return self.spans[0][0]

    @property
    def stop_position(self) -> int:
        """The position after the last one eaten."""
        first, count = self.spans[-1]
        return first + count


class BatchSchedule:
    """The steps of a plan. `rule` is for the stages before the first one that has a rule of its own.

    Raises InputError: no rule at all, more than 65,536 runs.
    """

    def __init__(self, plan: Plan, rule: BatchRule | None = None, *, timeline: Timeline | None = None) -> None:
        self.timeline = Timeline(plan) if timeline is None else timeline
        stretches = self.timeline.stretches
        if stretches[0].batch is None and rule is None:
            raise InputError(
                "neither the plan's first stage nor the caller says how large a batch is",
                remedy="Stage(…, batch=ConstantBatch(size=…)), or BatchSchedule(plan, ConstantBatch(size=…))",
            )
        self._stretches = stretches
        self._rules = [stretch.batch or rule or ConstantBatch(size=1) for stretch in stretches]
        skipped = self.timeline.skipped
        self._eaten = [skipped.eaten_before(stretch.first) for stretch in stretches]
        self._slots = [0]
        for k, stretch in enumerate(stretches[:-1]):
            eaten = self._eaten[k + 1] - self._eaten[k]
            self._slots.append(self._slots[k] + eaten * stretch.sequence_length)
        self._walls = self._find_walls()

    @classmethod
    def of(cls, plan: Plan, size: int, *, timeline: Timeline | None = None) -> "BatchSchedule":
        """A plan in batches of one size."""
        return cls(plan, ConstantBatch(size=size), timeline=timeline)

    def size_from(self, eaten: int) -> int:
        """Sequences of the step that begins at number `eaten` of the positions not skipped."""
        return self._measure(eaten)[0]

    def slots_before(self, eaten: int) -> int:
        """Slots of the first `eaten` positions that are not skipped."""
        return self._measure(eaten)[1]

    def step_from(self, position: int) -> StepPlace:
        """The step that begins at a position, or at the first one after it that is not skipped."""
        return self._place(self.timeline.skipped.eaten_before(position))

    def step_at(self, step: int) -> StepPlace:
        """Step number `step` (from 0) of the run that begins at position 0."""
        if step < 0:
            raise InputError(f"steps count from 0, not from {step:,}")
        run = self.runs[bisect_right(self._first_steps, step) - 1]
        return self._place(run.first_eaten + (step - run.first_step) * run.size)

    def step_of(self, position: int) -> int:
        """The step that eats a position. Raises InputError when it is skipped."""
        if position < 0 or position in self.timeline.skipped:
            raise InputError(
                f"position {position:,} is eaten by no step" + ("" if position < 0 else ": the plan skips it")
            )
        return self._step_of(self.timeline.skipped.eaten_before(position))

    def steps_for(self, slots: int) -> int:
        """How many steps a budget of slots takes, rounded up to whole steps."""
        if slots < 1:
            return 0
        last = bisect_right(self.runs, slots - 1, key=lambda run: run.slots_before) - 1
        run = self.runs[last]
        return run.first_step + -(-(slots - run.slots_before) // (run.size * run.sequence_length))

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        """The table."""
        runs: list[Run] = []
        step, eaten = 0, 0
        while True:
            if len(runs) >= MOST_RUNS:
                raise InputError(
                    f"the batch schedule has more than {MOST_RUNS:,} sizes one after another",
                    remedy="rise in larger steps: RampedBatch(…, multiple=8)",
                )
            run = self._run(step, eaten)
            if runs and (runs[-1].size, runs[-1].sequence_length) == (run.size, run.sequence_length):
                before = runs.pop()
                total = None if run.steps is None or before.steps is None else before.steps + run.steps
                run = Run(
                    first_step=before.first_step,
                    first_eaten=before.first_eaten,
                    slots_before=before.slots_before,
                    size=before.size,
                    sequence_length=before.sequence_length,
                    steps=total,
                )
            runs.append(run)
            if run.steps is None:
                return tuple(runs)
            step, eaten = run.first_step + run.steps, run.first_eaten + run.steps * run.size

    def largest(self) -> Iterator[tuple[int, Stretch]]:
        """The size of the largest step that lies in each stretch, at least with one row."""
        largest = [0] * len(self._stretches)
        for run in self.runs:
            last = None if run.steps is None else run.first_eaten + run.steps * run.size - 1
            after = len(largest) if last is None else self._stretch(last) + 1
            for k in range(self._stretch(run.first_eaten), after):
                largest[k] = max(largest[k], run.size)
        return iter(zip(largest, self._stretches, strict=True))

    def _run(self, step: int, eaten: int) -> Run:
        """The steps that follow each other from here until a threshold, a stage or a wall."""
        size, slots, length = self._measure(eaten)
        k = self._stretch(eaten)
        counts: list[int] = []
        change = self._rules[k].next_change(slots)
        if change is not None:
            counts.append(-(-(change - slots) // (size * length)))
        if k + 1 < len(self._eaten):
            counts.append(-(-(self._eaten[k + 1] - eaten) // size))
        wall = self._wall_after(eaten)
        if wall is not None:
            counts.append((wall - eaten) // size)
        return Run(
            first_step=step,
            first_eaten=eaten,
            slots_before=slots,
            size=size,
            sequence_length=length,
            steps=min(counts) if counts else None,
        )

    def _place(self, eaten: int) -> StepPlace:
        size, slots, length = self._measure(eaten)
        return StepPlace(eaten, size, length, slots, self.timeline.skipped.spans(eaten, size))

    def _measure(self, eaten: int) -> tuple[int, int, int]:
        """(size, slots seen before, T) of the step that begins here."""
        k = bisect_right(self._eaten, eaten) - 1
        length = self._stretches[k].sequence_length
        slots = self._slots[k] + (eaten - self._eaten[k]) * length
        size, wall = self._rules[k].size_at(slots), self._wall_after(eaten)
        return size if wall is None else min(size, wall - eaten), slots, length

    def _step_of(self, eaten: int) -> int:
        run = self.runs[bisect_right(self._firsts_eaten, eaten) - 1]
        return run.first_step + (eaten - run.first_eaten) // run.size

    def _find_walls(self) -> list[int]:
        """Where a stage says another T than the one before it, also one of which nothing is eaten: a step that a wall
        has cut short stays as it was, whatever is appended."""
        return [
            self.timeline.skipped.eaten_before(after.first_position)
            for before, after in pairwise(self.timeline.plan.stages)
            if before.sequence_length != after.sequence_length
        ]

    def _wall_after(self, eaten: int) -> int | None:
        k = bisect_right(self._walls, eaten)
        return self._walls[k] if k < len(self._walls) else None

    def _stretch(self, eaten: int) -> int:
        return bisect_right(self._eaten, eaten) - 1

    @cached_property
    def _first_steps(self) -> list[int]:
        return [run.first_step for run in self.runs]

    @cached_property
    def _firsts_eaten(self) -> list[int]:
        return [run.first_eaten for run in self.runs]


@dataclass(frozen=True, kw_only=True, eq=False)
class ScheduledGeometry:
    """How the steps of a schedule are cut: into so many ranks, and micro-batches of so many rows at the T of the first
    stage (at another T: see `BatchGeometry.for_step`), fewer where a step is small (`without_idle_micro_batch`)."""

    schedule: BatchSchedule
    micro_batch_size: int
    world_size: int = 1

    @property
    def first(self) -> BatchGeometry:
        """The geometry of the first step."""
        place = self.schedule.step_at(0)
        return BatchGeometry(
            global_batch_size=place.size,
            micro_batch_size=self.micro_batch_size,
            sequence_length=place.sequence_length,
            world_size=self.world_size,
        )
