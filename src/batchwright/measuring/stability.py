"""How restless a loss curve is, as two numbers: the spread of its step-to-step changes, and how often it jumps.

    spread   robust standard deviation (1.4826 × median absolute deviation) of loss[i+1] − loss[i] over the second
             half of the run, in nats. Differences remove the level, their median removes the trend.
    spikes   steps whose loss lies above the median of the 32 steps before by more than 6 robust standard deviations
             of those 32 (and by more than 1 % of that median, so that a curve which hardly moves has no spikes).

Guarantee: a curve's trend changes neither, and of independent normal noise less than one step in 10,000 is called a
spike. What the spread does not tell apart: part of it is the sampling noise of a step's own tokens, which falls as
1/√batch by itself; compare runs of one batch size, or read it together with the spikes. Price: a few milliseconds for
thousands of steps.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from batchwright.foundation.errors import InputError
from batchwright.training.spikes import TO_STANDARD_DEVIATION, robust_deviation

WINDOW_STEPS = 32
SPIKE_DEVIATIONS = 6.0
SPIKE_SHARE = 0.01


@dataclass(frozen=True, kw_only=True, slots=True)
class Stability:
    """`step_spread` is None where the second half has fewer than three steps."""

    step_spread: float | None
    spikes: int
    spike_steps: tuple[int, ...]
    """Counted from 1, as in the run's log."""
    steps_judged: int
    """Steps that had 32 before them: only these could be called spikes."""


def stability_of(losses: Sequence[float]) -> Stability:
    """The two numbers of one run; `losses` are those of all its steps, in order, finite."""
    curve = np.asarray(losses, dtype=np.float64)
    if not np.isfinite(curve).all():
        raise InputError("a loss curve with values that are not finite is a diverged run, not a restless one")
    changes = np.diff(curve[len(curve) // 2 :])
    spikes = _spikes(curve)
    return Stability(
        step_spread=robust_deviation(changes) if len(changes) >= 2 else None,
        spikes=len(spikes),
        spike_steps=spikes,
        steps_judged=max(0, len(curve) - WINDOW_STEPS),
    )


def _spikes(curve: npt.NDArray[np.float64]) -> tuple[int, ...]:
    if len(curve) <= WINDOW_STEPS:
        return ()
    before = np.lib.stride_tricks.sliding_window_view(curve, WINDOW_STEPS)[:-1]
    middle = np.median(before, axis=1)
    deviation = TO_STANDARD_DEVIATION * np.median(np.abs(before - middle[:, None]), axis=1)
    above = curve[WINDOW_STEPS:] - middle
    jumped = (above > SPIKE_DEVIATIONS * deviation) & (above > SPIKE_SHARE * middle)
    return tuple(int(place) + WINDOW_STEPS + 1 for place in np.nonzero(jumped)[0])
