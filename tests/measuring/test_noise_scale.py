"""The noise scale against exact truth: every sequence's own gradient of a real network, resampled many times."""

import numpy as np
import pytest

from batchwright.foundation.errors import InputError
from batchwright.measuring.intervals import ratio_interval
from batchwright.measuring.noise_scale import NoiseScaleAccumulator, step_noise
from tests.measuring.gram import LENGTH, Rows, gradients_of_rows

RAGGED_CUTS = [(1, 2, 3, 10), (1, 1, 1, 13), (2, 6, 8, 16)]
CUTS = [(4, 4, 4, 4), *RAGGED_CUTS, (16, 16)]


@pytest.fixture(scope="module")
def full_rows() -> Rows:
    return gradients_of_rows(384, ragged=False)


@pytest.fixture(scope="module")
def ragged_rows() -> Rows:
    return gradients_of_rows(384, ragged=True)


def estimates(rows: Rows, cut: tuple[int, ...], steps: int) -> tuple[np.ndarray, np.ndarray]:
    """(tr Σ, |G|²) of resampled steps by the code under test."""
    norms, targets, whole = rows.steps(cut, steps, np.random.default_rng(1))
    noises = [step_noise(n, w, q, sequences=sum(cut)) for n, w, q in zip(norms, targets, whole, strict=True)]
    return (
        np.array([noise.token_variance for noise in noises if noise]),
        np.array([noise.squared_gradient for noise in noises if noise]),
    )


def standard_errors_off(values: np.ndarray, truth: float) -> float:
    return abs(values.mean() - truth) / (values.std() / np.sqrt(len(values)))


def equal_size_form(norms: np.ndarray, targets: np.ndarray, whole: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The broken twin: the published formula for micro-batches of one size, given the mean size of ragged ones."""
    total, size = targets.sum(axis=1), targets.mean(axis=1)
    mean = norms.mean(axis=1)
    return (mean - whole) / (1 / size - 1 / total), (total * whole - size * mean) / (total - size)


@pytest.mark.parametrize("cut", CUTS)
def test_both_estimates_are_unbiased_whatever_the_sizes_of_the_micro_batches(full_rows: Rows, cut: tuple[int, ...]):
    variance, gradient = estimates(full_rows, cut, 12_000)
    assert standard_errors_off(variance, full_rows.token_variance) < 3.5
    assert standard_errors_off(gradient, full_rows.squared_gradient) < 3.5
    assert variance.mean() == pytest.approx(full_rows.token_variance, rel=0.01)
    assert gradient.mean() == pytest.approx(full_rows.squared_gradient, rel=0.05)


@pytest.mark.parametrize("cut", RAGGED_CUTS)
def test_the_form_for_equal_sizes_is_caught_on_ragged_batches(full_rows: Rows, cut: tuple[int, ...]):
    variance, gradient = equal_size_form(*full_rows.steps(cut, 12_000, np.random.default_rng(1)))
    assert variance.mean() > 1.5 * full_rows.token_variance
    assert gradient.mean() < 0


def test_the_twin_is_right_where_sizes_are_equal(full_rows: Rows):
    variance, gradient = equal_size_form(*full_rows.steps((4, 4, 4, 4), 12_000, np.random.default_rng(1)))
    assert standard_errors_off(variance, full_rows.token_variance) < 3.5
    assert standard_errors_off(gradient, full_rows.squared_gradient) < 3.5


@pytest.mark.parametrize(("cut", "tolerance"), [((8, 8, 8, 8), 0.02), ((16, 16, 16, 16), 0.01)])
def test_rows_with_few_targets_bias_it_only_as_much_as_a_ratio_of_small_sums_must(
    ragged_rows: Rows, cut: tuple[int, ...], tolerance: float
):
    variance, gradient = estimates(ragged_rows, cut, 12_000)
    assert variance.mean() == pytest.approx(ragged_rows.token_variance, rel=tolerance)
    assert gradient.mean() == pytest.approx(ragged_rows.squared_gradient, rel=3 * tolerance)


@pytest.mark.parametrize(("cut", "steps"), [((8, 8, 8, 8), 48), ((2, 6, 8, 16), 48), ((4, 4, 4, 4), 64)])
def test_the_interval_covers_the_truth_as_often_as_it_says(full_rows: Rows, cut: tuple[int, ...], steps: int):
    trials = 800
    variance, gradient = (part.reshape(trials, steps) for part in estimates(full_rows, cut, trials * steps))
    covered = [
        ratio_interval(s, q).covers(full_rows.noise_scale_tokens) for s, q in zip(variance, gradient, strict=True)
    ]
    assert 0.92 <= np.mean(covered) <= 0.98


def test_an_interval_that_forgets_its_denominator_is_caught(full_rows: Rows):
    """The twin: the numerator's error alone, as if |G|² were known."""
    trials, steps = 400, 48
    variance, gradient = (part.reshape(trials, steps) for part in estimates(full_rows, (8, 8, 8, 8), trials * steps))
    half = 2.01 * variance.std(axis=1, ddof=1) / np.sqrt(steps) / gradient.mean(axis=1)
    ratio = variance.mean(axis=1) / gradient.mean(axis=1)
    assert np.mean(np.abs(ratio - full_rows.noise_scale_tokens) <= half) < 0.7


def test_few_noisy_steps_are_not_resolved_instead_of_wrong(full_rows: Rows):
    accumulator = NoiseScaleAccumulator()
    for norms, targets, whole in zip(*full_rows.steps((1, 1), 4, np.random.default_rng(5)), strict=True):
        accumulator.add_step(norms, targets, whole, sequences=2)
    estimate = accumulator.estimate()
    assert not estimate.resolved
    assert estimate.interval_tokens.covers(full_rows.noise_scale_tokens)


def test_tokens_and_sequences_tell_the_same_thing(full_rows: Rows):
    accumulator = NoiseScaleAccumulator()
    for norms, targets, whole in zip(*full_rows.steps((8, 8, 8, 8), 200, np.random.default_rng(3)), strict=True):
        accumulator.add_step(norms, targets, whole, sequences=32)
    estimate = accumulator.estimate()
    assert estimate.tokens is not None
    assert estimate.sequences is not None
    assert estimate.tokens_per_sequence == LENGTH
    assert estimate.tokens == pytest.approx(LENGTH * estimate.sequences)
    assert estimate.tokens == pytest.approx(full_rows.noise_scale_tokens, rel=0.2)
    assert estimate.interval_sequences.covers(full_rows.noise_scale_tokens / LENGTH)


def test_blocks_of_steps_keep_the_estimate_and_drop_the_oldest_remainder(full_rows: Rows):
    accumulator = NoiseScaleAccumulator()
    for norms, targets, whole in zip(*full_rows.steps((8, 8), 103, np.random.default_rng(3)), strict=True):
        accumulator.add_step(norms, targets, whole, sequences=16)
    blocked, plain = accumulator.estimate(block_steps=10), accumulator.estimate(last_steps=100)
    assert (blocked.steps, blocked.observations) == (100, 10)
    assert blocked.tokens == pytest.approx(plain.tokens)


def test_filler_and_broken_steps_take_no_part():
    assert step_noise([1.0, 2.0, 99.0], [4, 4, 0], 1.0, sequences=8) == step_noise([1.0, 2.0], [4, 4], 1.0, sequences=8)
    assert step_noise([1.0], [4], 1.0, sequences=4) is None
    accumulator = NoiseScaleAccumulator()
    accumulator.add_step([1.0], [4], 1.0, sequences=4)
    accumulator.add_step([float("nan"), 1.0], [4, 4], 1.0, sequences=8)
    assert accumulator.steps == 0
    with pytest.raises(InputError, match="smaller micro-batch"):
        accumulator.estimate()


def test_norms_and_counts_must_belong_together():
    with pytest.raises(InputError, match="2 gradient norms for 1"):
        step_noise([1.0, 2.0], [4], 1.0, sequences=8)
