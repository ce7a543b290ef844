"""When a checkpoint is due, by tokens, by the clock, by what one costs."""

from dataclasses import replace

import pytest

from batchwright.training import checkpoint_clock
from batchwright.training.checkpoint_clock import CheckpointClock
from batchwright.training.config import TrainingConfig
from tests.training.fake_time import FakeTime

CONFIG = TrainingConfig(global_batch_size=1, micro_batch_size=1, sequence_length=10, tokens=4000, learning_rate=1e-3)


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    fake = FakeTime()
    monkeypatch.setattr(checkpoint_clock, "time", fake)
    return fake


def due_steps(
    clock: CheckpointClock, time: FakeTime, *, seconds: float, write_seconds: float, beside: bool = False
) -> list[int]:
    """At which of 400 steps of 10 tokens, each so long, a checkpoint was due; `beside`: they are written while training
    goes on."""
    found: list[int] = []
    last_seconds, until = 0.0, 0.0
    for step in range(1, 401):
        time.now += seconds
        writing = time.now < until
        last_seconds = 0.0 if writing or not found else write_seconds
        if clock.due(10 * step - 10, 10 * step, write_seconds=last_seconds, writing=writing):
            found.append(step)
            clock.written(10 * step)
            until = time.now + write_seconds
            time.now += 0.0 if beside else write_seconds
    return found


def test_by_default_a_fortieth_of_the_budget_is_lost_at_most(time: FakeTime) -> None:
    assert due_steps(CheckpointClock(CONFIG, tokens=0), time, seconds=1.0, write_seconds=0.1) == list(
        range(10, 401, 10)
    )


def test_a_quarter_of_an_hour_is_the_longest(time: FakeTime) -> None:
    assert due_steps(CheckpointClock(CONFIG, tokens=0), time, seconds=300.0, write_seconds=1.0)[:3] == [3, 6, 9]


def test_writing_takes_a_twentieth_of_the_time_at_most(time: FakeTime) -> None:
    found = due_steps(CheckpointClock(CONFIG, tokens=0), time, seconds=1.0, write_seconds=4.0)
    assert found[:3] == [10, 86, 162]  # 4 seconds of every 80


def test_the_next_waits_for_the_one_that_is_being_written(time: FakeTime) -> None:
    found = due_steps(CheckpointClock(CONFIG, tokens=0), time, seconds=1.0, write_seconds=15.0, beside=True)
    assert found[:2] == [10, 310]  # never at step 20, when the first is still on its way


def test_what_the_recipe_says_is_done_whatever_it_costs(time: FakeTime) -> None:
    said = replace(CONFIG, checkpoint_every_tokens=35)
    found = due_steps(CheckpointClock(said, tokens=0), time, seconds=1000.0, write_seconds=1000.0)
    assert found[:4] == [4, 7, 11, 14]
    once = replace(CONFIG, checkpoint_every_tokens=4000)
    assert due_steps(CheckpointClock(once, tokens=0), time, seconds=1000.0, write_seconds=0.0) == [400]


def test_those_to_keep_are_written_in_any_case(time: FakeTime) -> None:
    kept = replace(CONFIG, checkpoint_every_tokens=4000, keep_every_tokens=1000)
    found = due_steps(CheckpointClock(kept, tokens=0), time, seconds=1.0, write_seconds=0.1)
    assert found == [100, 200, 300, 400]
