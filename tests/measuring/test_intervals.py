"""Student's t and Fieller's interval, the unbounded cases included."""

import numpy as np
import pytest

from batchwright.foundation.errors import InputError
from batchwright.measuring.intervals import Interval, mean_interval, ratio_interval, student_t_quantile


@pytest.mark.parametrize(
    ("degrees_of_freedom", "quantile"),
    [(1, 12.70620474), (2, 4.30265273), (7, 2.36462425), (15, 2.13144955), (31, 2.03951345), (1000, 1.96233908)],
)
def test_the_t_quantiles_are_those_of_the_tables(degrees_of_freedom: int, quantile: float):
    assert student_t_quantile(0.975, degrees_of_freedom) == pytest.approx(quantile, abs=1e-7)
    assert student_t_quantile(0.025, degrees_of_freedom) == pytest.approx(-quantile, abs=1e-7)


def test_a_mean_of_normal_values_is_covered_as_often_as_stated():
    values = np.random.default_rng(0).normal(3.0, 2.0, size=(2000, 5))
    covered = [mean_interval(row, confidence=0.9).covers(3.0) for row in values]
    assert np.mean(covered) == pytest.approx(0.9, abs=0.02)


def pairs(numerator: float, denominator: float, spread: float, count: int = 40) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(1)
    return (
        numerator + spread * random.standard_normal(count),
        denominator + random.standard_normal(count),
    )


def test_a_clear_denominator_gives_two_bounds_that_solve_the_quadratic():
    s, q = pairs(20.0, 5.0, 1.0)
    interval = ratio_interval(s, q)
    assert interval.bounded
    t2 = student_t_quantile(0.975, 39) ** 2 / 40
    for bound in (interval.lower, interval.upper):
        assert bound is not None
        difference = s - bound * q  # At a bound the mean of s − R·q lies exactly t standard errors from zero.
        assert difference.mean() ** 2 == pytest.approx(t2 * difference.var(ddof=1), rel=1e-6)
    assert interval.covers(4.0)


def test_a_denominator_lost_in_noise_leaves_a_lower_bound_only():
    s, q = pairs(20.0, 0.1, 1.0)
    interval = ratio_interval(s, q)
    assert interval.upper is None
    assert interval.lower is not None
    assert interval.lower > 0
    assert interval.covers(1e9)
    difference = s - interval.lower * q
    t2 = student_t_quantile(0.975, 39) ** 2 / 40
    assert difference.mean() ** 2 == pytest.approx(t2 * difference.var(ddof=1), rel=1e-6)


def test_two_means_lost_in_noise_give_no_bound():
    interval = ratio_interval(*pairs(0.1, 0.1, 1.0))
    assert interval == Interval(lower=None, upper=None, confidence=0.95)
    assert interval.covers(0.0)


def test_a_single_observation_bounds_nothing():
    assert not ratio_interval(np.array([1.0]), np.array([1.0])).bounded
    assert not mean_interval(np.array([1.0])).bounded


def test_a_ratio_that_cannot_be_negative_is_clipped_at_zero():
    assert ratio_interval(*pairs(0.05, 5.0, 1.0)).lower == 0.0


def test_an_interval_changes_its_unit_and_keeps_its_missing_bounds():
    assert Interval(lower=2.0, upper=None, confidence=0.9).scaled(0.5) == Interval(
        lower=1.0, upper=None, confidence=0.9
    )


def test_unpaired_values_and_impossible_levels_are_refused():
    with pytest.raises(InputError, match="pairs"):
        ratio_interval(np.zeros(3), np.zeros(4))
    with pytest.raises(InputError, match="confidence"):
        Interval(lower=None, upper=None, confidence=1.0)
    with pytest.raises(InputError, match="quantile"):
        student_t_quantile(1.0, 3)
