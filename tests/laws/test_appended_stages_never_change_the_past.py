"""A stage is appended, never edited: whatever comes later, a position before it means what it meant; within an epoch no
row is repeated or left out by it; and a checkpoint of the shorter plan goes on under the longer one."""

from collections import Counter
from typing import Any

import pytest

from batchwright.batches.loader import BatchLoader
from batchwright.batches.schedule import BatchSchedule, ScheduledGeometry
from batchwright.foundation.errors import InputError
from batchwright.sequences.packing import BestFit, Concatenate
from batchwright.sequences.plan import Plan
from batchwright.sequences.sampler import Sampler
from batchwright.sequences.stage import Source, Stage
from batchwright.sequences.timeline import Timeline
from tests.laws.streams import index_of
from tests.laws.traces import Trace, next_stage

Timelines = type[Timeline]


def names(timeline: Timeline, stop: int) -> list[tuple[str, str, int, int]]:
    """(source, index, row, epoch) of the positions below `stop`."""
    placed = Sampler(timeline.plan, timeline).place([(0, stop)])
    streams = [timeline.streams[stream] for stream in placed.streams.tolist()]
    return [
        (stream.name, stream.index.fingerprint, row, epoch)
        for stream, row, epoch in zip(streams, placed.rows.tolist(), placed.epochs.tolist(), strict=True)
    ]


def grown(number: int) -> Plan:
    trace = Trace(number)
    plan = trace.plan
    first = plan.stages[-1].first_position if trace.start == 0 else 0
    plan = Plan(stages=tuple(stage for stage in plan.stages if stage.first_position <= first))
    for _ in range(3):
        first += trace.draw.randint(0, 60)
        plan = plan.append(next_stage(trace.draw, plan, first))
    return plan


def check_prefix(number: int, timeline_type: Timelines = Timeline) -> None:
    plan = grown(number)
    for count in range(1, len(plan.stages)):
        shorter = Plan(stages=plan.stages[:count])
        assert plan.prefix_hashes[count - 1] == shorter.hash
        stop = plan.stages[count].first_position
        assert names(timeline_type(plan), stop) == names(timeline_type(shorter), stop)


def check_epochs(number: int, timeline_type: Timelines = Timeline) -> None:
    """Of every stream and epoch that ended within the range, every row once."""
    timeline = timeline_type(grown(number))
    stop = timeline.plan.stages[-1].first_position + 300
    read = Counter(names(timeline, stop))
    assert max(read.values()) == 1, "a row is repeated within its epoch"
    for stream in timeline.streams:
        epochs = Counter(
            epoch for name, index, _, epoch in read if (name, index) == (stream.name, stream.index.fingerprint)
        )
        last = max(epochs, default=0)
        for epoch in range(last):
            assert epochs[epoch] == stream.row_count, "a row is left out of its epoch"


def check_eaten(number: int, timeline_type: Timelines = Timeline) -> None:
    """Rows eaten of every stream, one position after the other."""
    plan = grown(number)
    last = plan.stages[-1].first_position
    timeline = timeline_type(plan.skip(last + 3, last + 9).skip(last + 20, last + 21))
    eaten = [0] * len(timeline.streams)
    for position in range(last + 40):
        assert timeline.eaten_before(position) == tuple(eaten)
        eaten[timeline.ordinal_at(position)[0]] += position not in timeline.skipped


def test_what_was_eaten_of_a_source_counts_no_skipped_row() -> None:
    for number in range(60):
        check_eaten(number)


def test_positions_before_a_stage_mean_what_they_meant() -> None:
    for number in range(150):
        check_prefix(number)


def test_a_stage_repeats_no_row_and_leaves_none_out_within_an_epoch() -> None:
    for number in range(150):
        check_epochs(number)


class SeedAtOnce(Timeline):
    """Broken twin: a new seed orders the epoch that has begun anew."""

    def _lay_out(self) -> None:
        super()._lay_out()
        self._seeds = [[(0, self.plan.stages[-1].seed)] for _ in self.streams]


class BeginsAnew(Timeline):
    """Broken twin: a stage's sources begin at their first row."""

    def _stretch(self, *words: Any) -> Any:
        *others, reached, batch = words
        return super()._stretch(*others, [0] * len(reached), batch)  # type: ignore[misc]


class CountsSkipped(Timeline):
    """Broken twin: a skipped row counts as eaten."""

    def eaten_before(self, position: int) -> tuple[int, ...]:
        return self.ordinals_before(position)


@pytest.mark.parametrize(
    ("check", "twin"), [(check_prefix, SeedAtOnce), (check_epochs, BeginsAnew), (check_eaten, CountsSkipped)]
)
def test_the_law_catches_a_stage_that_reaches_back(check: Any, twin: Timelines) -> None:
    caught = 0
    for number in range(60):
        try:
            check(number, twin)
        except AssertionError:
            caught += 1
    assert caught >= 5


PLAN = Plan.of(index_of(2, BestFit(), 8), seed=1, name="web")
WEB = PLAN.stage.source


def loader(plan: Plan) -> BatchLoader:
    return BatchLoader(plan, ScheduledGeometry(schedule=BatchSchedule.of(plan, 6), micro_batch_size=4))


def state_at(plan: Plan, steps: int) -> dict[str, Any]:
    running = loader(plan)
    for _ in range(steps):
        running.acknowledge(running.step_from(running.position))
    return running.state()


def test_a_checkpoint_goes_on_under_a_plan_that_only_appended() -> None:
    state = state_at(PLAN, 3)
    later = PLAN.append(Stage(first_position=18, seed=2, sources=(WEB,))).skip(20, 25)
    running = loader(later)
    running.restore(state)
    step = running.step_from(running.position)
    assert [step.place.spans, step.place.first_position] == [[(18, 2), (25, 4)], 18]
    running.acknowledge(step)
    again = loader(later)
    again.restore(running.state())
    assert again.position == 29


def test_a_skipped_range_right_at_the_checkpoint_is_not_eaten() -> None:
    state = state_at(PLAN, 3)
    running = loader(PLAN.skip(18, 40))
    running.restore(state)
    step = next(iter(running))
    assert step.first_position == 40
    running.acknowledge(step)
    assert running.position == 46


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        (PLAN.append(Stage(first_position=17, seed=2, sources=(WEB,))), "begins at position 17, .* below 18"),
        (PLAN.skip(10, 12), "begins at position 10"),
        (Plan.of(WEB.index, seed=2, name="web"), "stage.seed: 1 there, 2 here"),
        (Plan.of(index_of(2, BestFit(), 5), seed=1, name="web"), "stage.sequence_length: 8 there, 5 here"),
        (Plan.of(index_of(2, Concatenate(), 8), seed=1, name="web"), "'best-fit' there, 'concatenate' here"),
        (Plan.of(index_of(1, BestFit(), 8), seed=1, name="web"), "stage.sources.0..store: "),
        (Plan.mix([WEB, Source(name="code", index=index_of(1, BestFit(), 8))], seed=1), "stage.sources"),
    ],
    ids=["stage in the past", "skip in the past", "seed", "T", "packing", "store", "sources"],
)
def test_another_past_is_refused_and_named(plan: Plan, said: str) -> None:
    with pytest.raises(InputError, match=said):
        loader(plan).restore(state_at(PLAN, 3))


def test_a_plan_that_lost_its_stages_is_named() -> None:
    longer = PLAN.append(Stage(first_position=6, seed=2, sources=(WEB,)))
    with pytest.raises(InputError, match="stages: 2 there, 1 here"):
        loader(PLAN).restore(state_at(longer, 3))


@pytest.mark.parametrize("sources", [1, 3, 12, 200])
def test_a_state_is_small_and_names_what_differs_however_many_sources(sources: int) -> None:
    index = index_of(2, BestFit(), 8)
    mixed = [Source(name=f"source number {i}", index=index, weight=i + 1) for i in range(sources)]
    import json

    state = state_at(Plan.mix(mixed, seed=1), 2)
    assert len(json.dumps(state)) <= 1024
    with pytest.raises(InputError, match=r"stage.seed: 1 there, 2 here"):
        loader(Plan.mix(mixed, seed=2)).restore(state)
    with pytest.raises(InputError, match=r"stage.sources"):
        loader(Plan.mix([*mixed[:-1], Source(name="other", index=index)], seed=1)).restore(state)


def test_a_stage_that_would_change_the_past_is_refused() -> None:
    longer = PLAN.append(Stage(first_position=40, seed=2, sources=(WEB,)))
    with pytest.raises(InputError, match="change the past"):
        longer.append(Stage(first_position=39, seed=2, sources=(WEB,)))
    with pytest.raises(InputError, match=r"skips \[39, 45\)"):
        Stage(first_position=40, seed=2, sources=(WEB,), skipped=((39, 45),))
