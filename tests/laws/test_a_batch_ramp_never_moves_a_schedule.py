"""Law: a batch ramp never breaks a schedule: the learning rate is the same function of tokens under every batch rule.

The broken twin counts steps, as many trainers do: it spreads the schedule over the steps that the run would take at
its last batch.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchwright.sequences.batch_rule import BatchRule, ConstantBatch, DoublingBatch, RampedBatch, SteppedBatch
from batchwright.training.lr_schedule import LearningRateSchedule

LENGTH, TOTAL = 4, 4_000
Rate = Callable[[LearningRateSchedule, BatchRule, int, int, int], float]  # (…, step, tokens before, tokens of the step)

sizes = st.integers(1, 40)
rules: st.SearchStrategy[BatchRule] = st.one_of(
    st.builds(lambda size: ConstantBatch(size=size), sizes),
    st.builds(
        lambda a, b, over: RampedBatch(first=min(a, b), last=max(a, b), over=over), sizes, sizes, st.integers(1, TOTAL)
    ),
    st.builds(
        lambda a, b, every: DoublingBatch(first=min(a, b), last=max(a, b), every=every),
        sizes,
        sizes,
        st.integers(1, TOTAL),
    ),
    st.builds(
        lambda first, more: SteppedBatch(pieces=((0, first), *sorted(more.items()))),
        sizes,
        st.dictionaries(st.integers(1, TOTAL), sizes, max_size=4),
    ),
)
schedules = st.builds(
    LearningRateSchedule,
    peak=st.just(1.0),
    total_tokens=st.just(TOTAL),
    warmup_tokens=st.integers(0, 1_000),
    decay=st.sampled_from(["cosine", "linear", "constant", "wsd"]),
    final_fraction=st.sampled_from([0.0, 0.1]),
    decay_share=st.sampled_from([0.1, 0.2, 0.5]),
    decay_shape=st.sampled_from(["linear", "1-sqrt"]),
)


def steps_of(rule: BatchRule) -> Iterator[tuple[int, int, int]]:
    """(step, tokens before, tokens of the step)."""
    step, seen = 1, 0
    while seen < TOTAL:
        tokens = rule.size_at(seen) * LENGTH
        yield step, seen, tokens
        step, seen = step + 1, seen + tokens


def in_tokens(schedule: LearningRateSchedule, rule: BatchRule, step: int, before: int, tokens: int) -> float:
    return schedule.for_step(before, tokens)


def in_steps(schedule: LearningRateSchedule, rule: BatchRule, step: int, before: int, tokens: int) -> float:
    last = rule.size_at(TOTAL) * LENGTH
    return schedule.at((step - 0.5) * last)


def check(schedule: LearningRateSchedule, rule: BatchRule, rate: Rate) -> None:
    """Every step's rate is one that the curve takes within the step; so is, then, the integral over the run."""
    integral = expected = slack = 0.0
    for step, before, tokens in steps_of(rule):
        curve = [schedule.at(t) for t in range(before, before + tokens + 1)]
        given_rate = rate(schedule, rule, step, before, tokens)
        assert min(curve) - 1e-12 <= given_rate <= max(curve) + 1e-12
        integral += tokens * given_rate
        expected += sum((a + b) / 2 for a, b in pairwise(curve))
        slack += tokens * (max(curve) - min(curve))
    # The middle of a step errs by no more than the curve moves within it, and mostly far less: 2 % of the whole.
    assert abs(integral - expected) <= min(slack, 0.02 * expected) + 1e-6 * TOTAL


@given(schedule=schedules, rule=rules)
@settings(max_examples=60)
def test_the_rate_is_the_same_curve_in_tokens_under_every_batch_rule(
    schedule: LearningRateSchedule, rule: BatchRule
) -> None:
    check(schedule, rule, in_tokens)


def test_a_schedule_that_counts_steps_is_caught() -> None:
    schedule = LearningRateSchedule(peak=1.0, total_tokens=TOTAL, warmup_tokens=200, decay="wsd")
    check(schedule, ConstantBatch(size=10), in_steps)  # without a ramp it is no different
    with pytest.raises(AssertionError):
        check(schedule, RampedBatch(first=1, last=10, over=TOTAL // 2), in_steps)
