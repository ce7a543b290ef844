"""Step ↔ position: every position that is not skipped is eaten by exactly one step, steps follow each other, the
table says what following the rule from step to step says, and both ways agree; also under stages, another T and
skipped ranges."""

from typing import Any

import pytest

from batchwright.batches.schedule import BatchSchedule
from batchwright.foundation.errors import InputError
from batchwright.sequences.batch_rule import (
    BatchRule,
    ConstantBatch,
    DoublingBatch,
    RampedBatch,
    SteppedBatch,
    batch_rule_from_dict,
)
from batchwright.sequences.packing import BestFit
from batchwright.sequences.plan import Plan
from batchwright.sequences.stage import Stage
from tests.laws.plan_reference import Reference, size_of
from tests.laws.streams import index_of
from tests.laws.traces import Trace


def check_bijection(schedule_type: type[BatchSchedule], number: int, steps: int = 60) -> None:
    trace = Trace(number)
    plan, rule = trace.plan, trace.rule
    schedule, reference = schedule_type(plan, rule), Reference(plan, rule)
    position, positions = 0, list[int]()
    for step in range(steps):
        place = schedule.step_at(step)
        expected = reference.step(position)
        assert [first + i for first, count in place.spans for i in range(count)] == expected
        assert schedule.step_from(position) == place
        assert place.slots_before == reference.slots_before(expected[0])
        assert {schedule.step_of(here) for here in expected} == {step}
        assert schedule.steps_for(place.slots_before + 1) == step + 1
        assert schedule.steps_for(place.slots_before + place.size * place.sequence_length) == step + 1
        position = expected[-1] + 1
        positions += expected
    skipped = [here for here in range(position) if reference.is_skipped(here)]
    assert sorted(positions + skipped) == list(range(position))
    for here in skipped:
        with pytest.raises(InputError, match="skips it"):
            schedule.step_of(here)


def test_steps_and_positions_say_the_same_both_ways() -> None:
    for number in range(120):
        check_bijection(BatchSchedule, number)


class ActsInTheMiddle(BatchSchedule):
    """Broken twin: a threshold acts at the step that contains it, not at the first that starts after it."""

    def _measure(self, eaten: int) -> tuple[int, int, int]:
        size, *others = super()._measure(eaten)
        return max(size, super()._measure(eaten + size - 1)[0]), *others


class CrossesTheWall(BatchSchedule):
    """Broken twin: a step goes on into another T."""

    def _find_walls(self) -> list[int]:
        return []


class CountsSkippedSlots(BatchSchedule):
    """Broken twin: what was skipped counts as seen."""

    def _measure(self, eaten: int) -> tuple[int, int, int]:
        size, _, length = super()._measure(eaten)
        return size, self.timeline.skipped.position_at(eaten) * self.timeline.stretches[0].sequence_length, length


@pytest.mark.parametrize("twin", [ActsInTheMiddle, CrossesTheWall, CountsSkippedSlots])
def test_the_law_catches_another_arithmetic(twin: Any) -> None:
    caught = 0
    for number in range(40):
        try:
            check_bijection(twin, number)
        except (AssertionError, InputError):
            caught += 1
    assert caught >= 2


RULES: list[BatchRule] = [
    ConstantBatch(size=7),
    SteppedBatch(pieces=((0, 3), (1000, 9), (1001, 2), (5000, 30))),
    RampedBatch(first=3, last=40, over=9000),
    RampedBatch(first=4, last=33, over=777, multiple=8),
    RampedBatch(first=5, last=5, over=10),
    DoublingBatch(first=3, last=50, every=1000),
]


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_is_constant_between_the_thresholds_that_it_names(rule: BatchRule) -> None:
    threshold: int | None = 0
    for slots in range(12_000):
        assert rule.size_at(slots) == size_of(rule, slots)
        if slots == threshold:
            size, threshold = rule.size_at(slots), rule.next_change(slots)
        assert rule.size_at(slots) == size
    assert batch_rule_from_dict(rule.to_dict()) == rule


def test_the_ramp_of_gpt3_is_a_small_table_and_a_trillion_tokens_away_is_as_near() -> None:
    ramp = RampedBatch(first=16, last=1562, over=12 * 10**9)
    schedule = BatchSchedule(Plan.of(index_of(2, BestFit(), 8)), ramp)
    assert len(schedule.runs) == 1547
    assert [schedule.runs[0].size, schedule.runs[-1].size] == [16, 1562]
    far = schedule.step_at(10**9)
    assert schedule.step_of(far.first_position) == 10**9
    assert schedule.step_of(far.first_position - 1) == 10**9 - 1
    assert schedule.step_from(far.first_position) == far


def test_schedules_that_say_nothing_or_too_much_are_refused() -> None:
    plan = Plan.of(index_of(2, BestFit(), 8))
    with pytest.raises(InputError, match="how large a batch is"):
        BatchSchedule(plan)
    with pytest.raises(InputError, match="more than 65,536 sizes"):
        assert BatchSchedule(plan, RampedBatch(first=1, last=10**6, over=10**15)).runs
    for wrong in (
        lambda: ConstantBatch(size=0),
        lambda: SteppedBatch(pieces=((5, 3),)),
        lambda: SteppedBatch(pieces=((0, 3), (0, 4))),
        lambda: RampedBatch(first=9, last=3, over=10),
        lambda: DoublingBatch(first=1, last=3, every=0),
        lambda: batch_rule_from_dict({"rule": "dubling", "first": 1}),
        lambda: batch_rule_from_dict({"rule": "constant", "sice": 1}),
    ):
        with pytest.raises(InputError):
            wrong()


def test_a_new_rule_acts_at_the_first_step_that_starts_after_it() -> None:
    plan = Plan.of(index_of(1, BestFit(), 8))
    source = plan.stage.sources
    later = plan.append(Stage(first_position=25, seed=0, sources=source, batch=ConstantBatch(size=3)))
    schedule = BatchSchedule(later, ConstantBatch(size=10))
    assert [schedule.step_at(step).size for step in range(5)] == [10, 10, 10, 3, 3]
    assert [schedule.step_at(step).first_position for step in range(5)] == [0, 10, 20, 30, 33]
