"""The learning rate in tokens."""

from dataclasses import replace
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwright.training.config import DecayShape
from batchwright.training.lr_schedule import LearningRateSchedule

COSINE = LearningRateSchedule(peak=2.0, total_tokens=1_000, warmup_tokens=200, decay="cosine", final_fraction=0.1)


@pytest.mark.parametrize(("tokens", "rate"), [(0, 0.0), (100, 1.0), (200, 2.0), (600, 1.1), (1_000, 0.2), (9_999, 0.2)])
def test_warm_up_then_cosine_to_the_final_share(tokens: int, rate: float) -> None:
    assert COSINE.at(tokens) == pytest.approx(rate)


def test_linear_and_constant() -> None:
    linear = LearningRateSchedule(peak=1.0, total_tokens=100, decay="linear", final_fraction=0.0)
    constant = LearningRateSchedule(peak=1.0, total_tokens=100, decay="constant")
    assert [linear.at(t) for t in (0, 25, 100)] == [1.0, 0.75, 0.0]
    assert [constant.at(t) for t in (0, 25, 100)] == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("shape", "tokens", "rate"),
    [
        ("1-sqrt", 50, 1.0),
        ("1-sqrt", 100, 2.0),
        ("1-sqrt", 800, 2.0),
        ("1-sqrt", 850, 1.1),  # a quarter of the decay is half of the fall
        ("1-sqrt", 1_000, 0.2),
        ("linear", 800, 2.0),
        ("linear", 900, 1.1),
        ("linear", 2_000, 0.2),
    ],
)
def test_warm_up_stable_and_a_late_decay(shape: DecayShape, tokens: int, rate: float) -> None:
    schedule = replace(COSINE, warmup_tokens=100, decay="wsd", decay_share=0.2, decay_shape=shape)
    assert schedule.at(tokens) == pytest.approx(rate)


@given(st.data())
def test_schedules_that_agree_until_a_token_gave_the_same_rates_until_there(data: st.DataObject) -> None:
    def drawn() -> LearningRateSchedule:
        return LearningRateSchedule(
            peak=data.draw(st.sampled_from([1.0, 2.0])),
            total_tokens=data.draw(st.sampled_from([100, 200])),
            warmup_tokens=data.draw(st.sampled_from([0, 20])),
            decay=data.draw(st.sampled_from(["cosine", "linear", "constant", "wsd"])),
            final_fraction=data.draw(st.sampled_from([0.0, 0.1])),
            decay_share=data.draw(st.sampled_from([0.2, 0.5])),
            decay_shape=data.draw(st.sampled_from(["linear", "1-sqrt"])),
        )

    a, b, tokens = drawn(), drawn(), data.draw(st.integers(1, 120))
    if a.agrees_until(b, tokens):
        assert all(a.at(t) == b.at(t) for t in range(tokens))
    elif tokens <= 20 and a.warmup_tokens == b.warmup_tokens == 20:
        assert a.peak != b.peak


@given(st.sampled_from(["cosine", "linear", "constant"]), st.integers(0, 500), st.integers(1, 40))
def test_the_integral_over_the_run_hardly_depends_on_the_batch_size(
    decay: Literal["cosine", "linear", "constant"], warmup: int, tokens_per_step: int
) -> None:
    schedule = LearningRateSchedule(peak=1.0, total_tokens=1_000, warmup_tokens=warmup, decay=decay)
    fine = sum(schedule.for_step(t, 1) for t in range(1_000))
    coarse, seen = 0.0, 0
    while seen < 1_000:
        step = min(tokens_per_step, 1_000 - seen)
        coarse += step * schedule.for_step(seen, step)
        seen += step
    assert coarse == pytest.approx(fine, rel=0.01)
