"""Elasticity: under one plan the sequences of every step are the same for every world size, micro-batch and prefetch,
also where nothing divides, and changed at any step; none repeated, none skipped; certificates add up over ranks."""

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from batchwright.batches.certificate import combined
from batchwright.batches.geometry import BatchGeometry
from batchwright.batches.loader import BatchLoader
from batchwright.foundation.errors import InputError
from batchwright.sequences.packing import BestFit
from batchwright.sequences.plan import Plan
from tests.laws.streams import PLANS, eaten, index_of


@dataclass(frozen=True)
class Stretch:
    """Some steps of a run on one arrangement of machines."""

    steps: int
    world_size: int
    micro_batch_size: int
    prefetch: int = 0


STRETCHES = st.lists(
    st.builds(Stretch, st.integers(1, 4), st.integers(1, 8), st.integers(1, 7), st.integers(0, 2)),
    min_size=1,
    max_size=4,
)

StepSeen = tuple[int, int, int, list[tuple[int, bytes]]]


def run(
    plan: Plan,
    global_batch_size: int,
    stretches: list[Stretch],
    first_position: int = 0,
    geometry_type: type[BatchGeometry] = BatchGeometry,
    loader_type: type[BatchLoader] = BatchLoader,
) -> list[StepSeen]:
    """(first position, targets, certificate over all ranks, rows in order of rank) of every step; the state passes from
    stretch to stretch as a checkpoint does."""
    seen: list[StepSeen] = []
    state: dict[str, Any] | None = None
    for stretch in stretches:
        geometry = geometry_type(
            global_batch_size=global_batch_size,
            micro_batch_size=stretch.micro_batch_size,
            sequence_length=plan.sequence_length,
            world_size=stretch.world_size,
        )
        loaders = [
            loader_type(plan, geometry, rank=rank, prefetch=stretch.prefetch) for rank in range(stretch.world_size)
        ]
        for loader in loaders:
            loader.restore(state or {**loader.state(), "position": first_position})
        streams = [iter(loader) for loader in loaders]
        for _ in range(stretch.steps):
            steps = [next(stream) for stream in streams]
            rows = [row for step in steps for batch in step for row in eaten(batch)]
            for loader, step in zip(loaders, steps, strict=True):
                loader.acknowledge(step)
            certificate = combined(step.certificate for step in steps)
            seen.append((steps[0].first_position, steps[0].targets, certificate, rows))
        for stream in streams:
            stream.close()
        states = [loader.state() for loader in loaders]
        assert all(other == states[0] for other in states)
        state = states[0]
    return seen


def check_elastic(plan: Plan, global_batch_size: int, stretches: list[Stretch], first: int = 0, **types: Any) -> None:
    """The same as one rank with one micro-batch per step and no interruption."""
    steps = sum(stretch.steps for stretch in stretches)
    whole = run(plan, global_batch_size, [Stretch(steps, 1, global_batch_size)], first)
    seen = run(plan, global_batch_size, stretches, first, **types)
    assert [position for *_, rows in seen for position, _ in rows] == list(
        range(first, first + steps * global_batch_size)
    )
    assert seen == whole


@given(PLANS, st.integers(1, 23), STRETCHES, st.integers(0, 200))
@settings(max_examples=300)
def test_the_stream_is_the_same_however_it_is_cut(
    plan: Plan, global_batch_size: int, stretches: list[Stretch], first_position: int
) -> None:
    assume(global_batch_size <= plan.index.row_count)
    check_elastic(plan, global_batch_size, stretches, first_position)


@given(PLANS, st.lists(st.integers(1, 17), min_size=1, max_size=6), st.integers(1, 5))
@settings(max_examples=30)
def test_another_global_batch_goes_on_where_the_last_one_ended(plan: Plan, sizes: list[int], world_size: int) -> None:
    assume(max(sizes) <= plan.index.row_count)
    position, eaten_positions = 0, list[int]()
    for size in sizes:
        seen = run(plan, size, [Stretch(2, world_size, 3)], position)
        eaten_positions += [place for *_, rows in seen for place, _ in rows]
        position += 2 * size
    assert eaten_positions == list(range(position))


class FloorsTheSplit(BatchGeometry):
    """Broken twin: every rank takes G // w rows, and the rest of the batch is lost."""

    def rows_of(self, rank: int) -> tuple[int, int]:
        share = self.global_batch_size // self.world_size
        return rank * share, (rank + 1) * share


class OverlapsTheSeam(BatchGeometry):
    """Broken twin: a rank begins one row before its own."""

    def rows_of(self, rank: int) -> tuple[int, int]:
        first, stop = super().rows_of(rank)
        return max(0, first - 1), stop


class CountsSteps(BatchLoader):
    """Broken twin: a state of another rank count is scaled, as a sampler with a cursor per rank would do."""

    def restore(self, state: dict[str, Any]) -> None:
        size = self.geometry.micro_batch_size * self.geometry.world_size
        super().restore({**state, "position": state["position"] // size * size})


@pytest.mark.parametrize(
    "twin",
    [{"geometry_type": FloorsTheSplit}, {"geometry_type": OverlapsTheSeam}, {"loader_type": CountsSteps}],
)
def test_the_law_catches_a_cut_that_loses_or_repeats(twin: dict[str, Any]) -> None:
    plan = Plan.of(index_of(0, BestFit(), 8))
    stretches = [Stretch(1, 1, 4), Stretch(2, 3, 2)]
    check_elastic(plan, 11, stretches)
    with pytest.raises((AssertionError, InputError)):
        check_elastic(plan, 11, stretches, **twin)
