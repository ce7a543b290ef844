"""Elasticity over whole histories: whatever a run's plan grew to, on whatever machines and however often it was
interrupted, it eats what the naive reading of its last plan says: 0 repeated, 0 skipped, identical order, identical
certificates."""

from typing import Any

import numpy as np
import pytest

from batchwright.batches.geometry import BatchGeometry
from batchwright.batches.loader import BatchLoader
from batchwright.foundation.errors import BatchwrightError
from batchwright.foundation.permutation import KeyedPermutation
from batchwright.foundation.randomness import key
from batchwright.sequences.plan import Plan
from batchwright.sequences.sampler import PlacedRows, Sampler
from batchwright.sequences.timeline import Timeline
from tests.laws.traces import Trace

ORDINARY, TORTURE, PARTS = 300, 10_000, 20


@pytest.mark.parametrize("part", range(6))
def test_histories_eat_what_their_plan_says(part: int) -> None:
    for number in range(part, ORDINARY, 6):
        check(number)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_ten_thousand_histories_eat_what_their_plan_says(part: int) -> None:
    for number in range(ORDINARY + part, ORDINARY + TORTURE, PARTS):
        check(number)


def check(number: int, **types: Any) -> None:
    try:
        Trace(number).check(**types)
    except AssertionError as error:
        raise AssertionError(f"trace {number}: {error}") from error


def test_the_histories_reach_what_they_are_for() -> None:
    traces = [Trace(number) for number in range(ORDINARY)]
    seen = [trace.run() for trace in traces[:60]]
    assert sum(any(epoch > 0 for step in steps for epoch in step.epochs) for steps in seen) > 20
    assert sum(len({len(step.positions) for step in steps}) > 1 for steps in seen) > 15, "batches that change"
    assert sum(any(np.diff(step.positions).max(initial=1) > 1 for step in steps) for steps in seen) > 5, "skipped"
    assert sum(trace.start > 2**31 for trace in traces) > 60
    assert sum(len(trace.lives) == 4 for trace in traces) > 40, "resumed three times"
    assert sum(life.world_size > 16 for trace in traces for life in trace.lives) > 60
    assert sum(life.appended for trace in traces for life in trace.lives) > 100
    assert sum(len(trace.plan.stages[-1].sources) > 1 for trace in traces) > 100


class OffByOneAtTheSeam(BatchLoader):
    """Broken twin: the next life begins one sequence late."""

    def restore(self, state: dict[str, Any]) -> None:
        super().restore({**state, "position": state["position"] + 1})


class FloorsTheSplit(BatchGeometry):
    """Broken twin: every rank takes G // w rows, and the rest of the batch is lost."""

    def rows_of(self, rank: int) -> tuple[int, int]:
        share = self.global_batch_size // self.world_size
        return rank * share, (rank + 1) * share


class SeedByAddition(Sampler):
    """Broken twin: the epoch is added to the seed."""

    def order(self, stream: int, epoch: int) -> KeyedPermutation:
        found = self.timeline.streams[stream]
        seed = self.timeline.seed_of(stream, 0) + epoch
        return KeyedPermutation(size=found.row_count, key=key(seed, "row-order", found.name, 0))


class ThirtyTwoBits(Sampler):
    """Broken twin: positions in 32 bits."""

    def place(self, spans: list[tuple[int, int]]) -> PlacedRows:
        return super().place([(first & 0x7FFFFFFF, count) for first, count in spans])


class BeginsAnewWithEveryStage(Timeline):
    """Broken twin: a stage's sources begin at their first row, whatever was read before."""

    def _stretch(self, *words: Any) -> Any:
        *others, reached, batch = words
        return super()._stretch(*others, [0] * len(reached), batch)  # type: ignore[misc]


class CountsSkippedSlots(BatchLoader):
    """Broken twin: a step is G positions in a row, skipped or not."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._sampler = _Unbroken(self.plan, self.timeline)


class _Unbroken(Sampler):
    def place(self, spans: list[tuple[int, int]]) -> PlacedRows:
        return super().place([(spans[0][0], sum(count for _, count in spans))])


def with_sampler(kind: type[Sampler]) -> type[BatchLoader]:
    class Twin(BatchLoader):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self._sampler = kind(self.plan, self.timeline)

    return Twin


def with_timeline(kind: type[Timeline]) -> type[BatchLoader]:
    class Twin(BatchLoader):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self._sampler = Sampler(self.plan, kind(self.plan))

    return Twin


@pytest.mark.parametrize(
    "twin",
    [
        {"loader_type": OffByOneAtTheSeam},
        {"geometry_type": FloorsTheSplit},
        {"loader_type": with_sampler(SeedByAddition)},
        {"loader_type": with_sampler(ThirtyTwoBits)},
        {"loader_type": with_timeline(BeginsAnewWithEveryStage)},
        {"loader_type": CountsSkippedSlots},
    ],
    ids=["seam", "split", "seed", "32 bits", "stage", "skipped"],
)
def test_the_law_catches_a_broken_twin(twin: dict[str, Any]) -> None:
    caught = 0
    for number in range(40):
        try:
            check(number, **twin)
        except (AssertionError, BatchwrightError, ValueError):
            caught += 1
    assert caught >= 4


def test_a_plan_is_the_same_read_back() -> None:
    for number in range(40):
        plan = Trace(number).plan
        again = Plan.from_dict(plan.to_dict(), plan.indexes)
        assert again.hash == plan.hash
        assert again.prefix_hashes == plan.prefix_hashes
