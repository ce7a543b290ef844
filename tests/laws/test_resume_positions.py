"""Resume = no interruption, for the data: after any number of interruptions, wherever they fall, with batches made
ahead and steps begun but not acknowledged, the acknowledged steps are those of the uninterrupted run."""

import json
from itertools import islice
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from batchwright.batches.geometry import BatchGeometry
from batchwright.batches.loader import BatchLoader
from batchwright.batches.step import Step
from batchwright.foundation.errors import InputError
from batchwright.sequences.packing import BestFit
from batchwright.sequences.plan import Plan
from tests.laws.streams import PLANS, eaten, index_of

Seen = list[tuple[int, bytes]]


def uninterrupted(plan: Plan, geometry: BatchGeometry, steps: int) -> Seen:
    loader = BatchLoader(plan, geometry)
    return [row for number in range(steps) for batch in loader.step_at(number) for row in eaten(batch)]


def interrupted(
    plan: Plan,
    geometry: BatchGeometry,
    lives: list[tuple[int, int]],
    prefetch: int,
    loader_type: type[BatchLoader] = BatchLoader,
) -> Seen:
    """Every life acknowledges some steps, begins some more, and dies; the next one knows the state as JSON only."""
    seen: Seen = []
    saved: str | None = None
    for acknowledged, begun in lives:
        loader = loader_type(plan, geometry, prefetch=prefetch)
        if saved is not None:
            loader.restore(json.loads(saved))
        steps = iter(loader)
        for step in islice(steps, acknowledged):
            seen += [row for batch in step for row in eaten(batch)]
            loader.acknowledge(step)
        for step in islice(steps, begun):
            next(step)
        saved = json.dumps(loader.state())
        steps.close()
    return seen


LIVES = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2)), min_size=1, max_size=5)


@given(PLANS, st.integers(1, 13), st.integers(1, 5), LIVES, st.integers(0, 3))
@settings(max_examples=150)
def test_interruptions_leave_no_trace(
    plan: Plan, global_batch_size: int, micro_batch_size: int, lives: list[tuple[int, int]], prefetch: int
) -> None:
    assume(global_batch_size <= plan.index.row_count)
    geometry = BatchGeometry(
        global_batch_size=global_batch_size, micro_batch_size=micro_batch_size, sequence_length=plan.sequence_length
    )
    steps = sum(acknowledged for acknowledged, _ in lives)
    assert interrupted(plan, geometry, lives, prefetch) == uninterrupted(plan, geometry, steps)


class SavesWhatItMade(BatchLoader):
    """Broken twin: the state counts steps handed out, not steps done."""

    def _step(self, position: int, *rest: Any) -> Step:
        step = super()._step(position, *rest)
        self.made = step.stop_position
        return step

    def state(self) -> dict[str, Any]:
        return {**super().state(), "position": getattr(self, "made", self.position)}


class ForgetsTheEpoch(BatchLoader):
    """Broken twin: the position is kept within its epoch."""

    def state(self) -> dict[str, Any]:
        return {**super().state(), "position": self.position % self.plan.index.row_count}


class OffByOne(BatchLoader):
    """Broken twin: the next life begins one sequence late."""

    def restore(self, state: dict[str, Any]) -> None:
        super().restore({**state, "position": state["position"] + 1})


@pytest.mark.parametrize("twin", [SavesWhatItMade, ForgetsTheEpoch, OffByOne])
def test_the_law_catches_a_state_that_is_not_the_position(twin: type[BatchLoader]) -> None:
    plan = Plan.of(index_of(0, BestFit(), 8))
    geometry = BatchGeometry(global_batch_size=9, micro_batch_size=4, sequence_length=8)
    lives = [(3, 1), (0, 1), (4, 0)]
    expected = uninterrupted(plan, geometry, 7)
    assert interrupted(plan, geometry, lives, 1) == expected
    try:
        seen = interrupted(plan, geometry, lives, 1, twin)
    except InputError:
        return  # the loader itself refused the acknowledgement
    assert seen != expected
