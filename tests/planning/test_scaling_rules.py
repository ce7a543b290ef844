"""The rules do what their papers say, name what they assume, and refuse what makes no sense."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwright.foundation.errors import InputError
from batchwright.planning import scaling_rules as rules
from batchwright.planning.scaling_rules import Hyperparameters, scaled

REFERENCE = Hyperparameters(tokens_per_step=4096, learning_rate=2e-3, beta2=0.99, weight_decay=0.1, tokens=2_000_000)
FACTORS = st.floats(min_value=1 / 64, max_value=64)


@given(k=FACTORS)
def test_the_named_rules_are_powers_of_the_batch(k: float):
    assert rules.constant_learning_rate(0.1, k) == 0.1
    assert rules.square_root_learning_rate(0.1, k) == pytest.approx(0.1 * k**0.5)
    assert rules.linear_learning_rate(0.1, k) == pytest.approx(0.1 * k)


@given(a=FACTORS, b=FACTORS, name=st.sampled_from(["constant", "sqrt", "linear"]))
def test_two_changes_of_the_batch_are_one(a: float, b: float, name: str):
    rule = rules.learning_rate_rule(name)
    assert rule(rule(1.0, a), b) == pytest.approx(rule(1.0, a * b))


def test_the_saturating_rule_is_linear_far_below_half_and_flat_far_above():
    rule = rules.saturating_learning_rate(half_batch=1e6, reference_batch=1.0)
    assert rule(1.0, 8.0) == pytest.approx(8.0, rel=1e-4)
    rule = rules.saturating_learning_rate(half_batch=1e-6, reference_batch=1.0)
    assert rule(1.0, 8.0) == pytest.approx(1.0, rel=1e-4)
    rule = rules.saturating_learning_rate(half_batch=4.0, reference_batch=4.0)
    assert rule(1.0, 1.0) == 1.0
    assert rule(1.0, 1e9) == pytest.approx(2.0)


@given(k=st.floats(min_value=0.5, max_value=4))
def test_beta2_keeps_its_half_life_in_tokens_unless_it_says_that_it_was_clipped(k: float):
    beta2, clipped = rules.beta2_at_token_half_life(0.99, k)
    before = rules.half_life_tokens(0.99, 4096)
    after = rules.half_life_tokens(beta2, round(4096 * k))
    assert clipped == (not 0.95 <= 0.99**k <= 0.9999)
    if not clipped:
        assert after == pytest.approx(before, rel=1e-3)


def test_a_hundredfold_batch_clips_beta2_and_says_so():
    result = scaled(REFERENCE, tokens_per_step=409_600)
    assert result.value.beta2 == 0.95
    assert result.clipped == ("beta2",)
    assert "clipped" in result.reasons["beta2"]


@given(k=st.sampled_from([0.25, 0.5, 2.0, 4.0]), name=st.sampled_from(["constant", "sqrt", "linear"]))
def test_weight_decay_keeps_its_share_of_the_run_whatever_the_rule(k: float, name: str):
    result = scaled(REFERENCE, tokens_per_step=int(4096 * k), tokens=6_000_000, learning_rate=name)
    assert rules.tau(result.value) == pytest.approx(rules.tau(REFERENCE))


def test_epsilon_falls_with_the_root_and_beta1_stays():
    result = scaled(REFERENCE, tokens_per_step=4 * 4096)
    assert result.value.epsilon == pytest.approx(REFERENCE.epsilon / 2)
    assert result.value.beta1 == REFERENCE.beta1
    assert set(result.reasons) == {"learning_rate", "beta1", "beta2", "weight_decay", "epsilon"}


def test_the_same_batch_changes_nothing():
    assert scaled(REFERENCE, tokens_per_step=4096).value == REFERENCE


def test_without_decay_there_is_no_window():
    assert math.isinf(rules.tau(Hyperparameters(tokens_per_step=1, learning_rate=1.0, weight_decay=0.0, tokens=1)))


def test_a_rule_that_does_not_exist_is_answered_with_the_nearest():
    with pytest.raises(InputError, match="did you mean 'linear'"):
        rules.learning_rate_rule("linera")


@pytest.mark.parametrize(
    "wrong", [{"learning_rate": 0.0}, {"tokens": 0}, {"beta2": 1.0}, {"weight_decay": -1.0}, {"tokens_per_step": 0}]
)
def test_numbers_that_cannot_train_are_refused(wrong: dict[str, float]):
    given_numbers = {"tokens_per_step": 1, "learning_rate": 1.0, "tokens": 1} | wrong
    with pytest.raises(InputError):
        Hyperparameters(**given_numbers)


def test_every_rule_names_its_paper_and_its_assumption():
    for rule in (
        *rules.LEARNING_RATE_RULES.values(),
        rules.saturating_learning_rate,
        rules.beta2_at_token_half_life,
        rules.weight_decay_at_constant_tau,
        rules.epsilon_square_root,
    ):
        assert "arXiv" in (rule.__doc__ or "")
        assert "Assumes" in (rule.__doc__ or "")
