"""Restlessness as two numbers that a trend does not move."""

import numpy as np
import pytest

from batchwright.foundation.errors import InputError
from batchwright.measuring.stability import WINDOW_STEPS, stability_of


def curve(steps: int = 2000, noise: float = 0.05, seed: int = 0) -> np.ndarray:
    """A loss that falls from 8 to about 3, with independent noise."""
    return 3 + 5 * np.exp(-np.arange(steps) / 200) + noise * np.random.default_rng(seed).standard_normal(steps)


def test_the_spread_is_that_of_the_changes_whatever_the_trend():
    expected = 0.05 * np.sqrt(2)
    for tilt in (0.0, -0.01, 0.02):
        spread = stability_of(curve() + tilt * np.arange(2000)).step_spread
        assert spread == pytest.approx(expected, rel=0.08)


def test_twice_the_noise_is_twice_the_spread():
    calm, restless = stability_of(curve(noise=0.05)).step_spread, stability_of(curve(noise=0.1)).step_spread
    assert calm is not None
    assert restless == pytest.approx(2 * calm, rel=0.1)


def test_planted_spikes_are_found_where_they_are_and_do_not_move_the_spread():
    losses = curve()
    spiked = losses.copy()
    spiked[[500, 1200, 1700]] += 1.0
    found = stability_of(spiked)
    assert found.spike_steps == (501, 1201, 1701)
    assert found.step_spread == pytest.approx(stability_of(losses).step_spread, rel=0.02)


def test_falls_are_no_spikes_and_plain_noise_has_none():
    losses = curve(steps=20_000, noise=0.1)
    assert stability_of(losses).spikes <= 2
    losses[5000] -= 2.0
    assert 5001 not in stability_of(losses).spike_steps


def test_a_curve_that_hardly_moves_has_no_spikes():
    losses = np.full(200, 3.0)
    losses[150] = 3.01
    assert stability_of(losses).spikes == 0


def test_short_runs_say_what_could_not_be_judged():
    found = stability_of([3.0, 2.0, 1.0])
    assert (found.step_spread, found.spikes, found.steps_judged) == (None, 0, 0)
    assert stability_of(curve(steps=WINDOW_STEPS + 5)).steps_judged == 5


def test_a_diverged_curve_is_not_called_restless():
    with pytest.raises(InputError, match="diverged"):
        stability_of([3.0, float("nan")])
