"""The gradient noise scale B_simple = tr Σ / |G|², measured for free from the micro-batches a step accumulates anyway.

A step of m micro-batches with w_j target tokens each (W = Σ w_j) has mean gradients g_j. Their squared norms are
enough:

    P = Σ (w_j/W)·|g_j|²      Q = |Σ w_j·g_j / W|²
    |G|² = (m·Q − P)/(m − 1)      tr Σ = (P − Q)·W/(m − 1)                     (tr Σ of one target token)

Both are unbiased when the w_j differ; with equal w_j they are McCandlish et al. 2018 (arXiv 1812.06162, appendix A.1).
That published equal-size form, applied to ragged micro-batches, is badly biased (tests/measuring shows by how much).
The ratio is taken of *means over steps*, never the mean of ratios (which came out between −0.8 and 5.3 times the
truth), and carries Fieller's interval. About 30–60·B_simple sequences give ±10 %; below 32 steps near initialisation
expect "not resolved".

What it assumes: rows drawn independently (the row is the sampled unit; its tokens are not independent, which is why
the micro-batch gradients and not tokens are compared), norms taken *before* clipping, and steps nearly independent. In
a drifting run average neighbouring steps with `block_steps`. What it is not: the critical batch, which lay 1.6–2.4
times above it on a small model and far above it at 1B–7B (Merrill 2025, 2505.23971). It is a monitor; the decision is
a branched measurement.

Price: one squared norm of every gradient per micro-batch, 0.6–7 % of a step on a CPU.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from batchwright.foundation.errors import InputError
from batchwright.measuring.intervals import Interval, ratio_interval


@dataclass(frozen=True, kw_only=True, slots=True)
class StepNoise:
    """What one step says: each alone is unbiased, and each alone is mostly noise (|G|² may well be negative)."""

    squared_gradient: float
    """Estimate of |G|²."""
    token_variance: float
    """Estimate of tr Σ per target token."""
    targets: int
    """W, the target tokens of the step."""
    sequences: int
    """Rows of the step that hold at least one target."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NoiseScale:
    """B_simple in tokens and in sequences, with the interval in which it lies."""

    tokens: float | None
    """Ratio of means; None while |G|² cannot be told from zero or below."""
    interval_tokens: Interval
    tokens_per_sequence: float
    squared_gradient: float
    token_variance: float
    steps: int
    """Steps measured."""
    observations: int
    """Blocks of steps that the interval treats as independent."""

    @property
    def sequences(self) -> float | None:
        return None if self.tokens is None else self.tokens / self.tokens_per_sequence

    @property
    def interval_sequences(self) -> Interval:
        return self.interval_tokens.scaled(1.0 / self.tokens_per_sequence)

    @property
    def resolved(self) -> bool:
        """Whether both ends are known: only then is the number worth acting on."""
        return self.tokens is not None and self.interval_tokens.bounded


def step_noise(
    squared_norms: Sequence[float], targets: Sequence[int], squared_norm_of_whole: float, *, sequences: int
) -> StepNoise | None:
    """One step's estimate from |g_j|², w_j and |g|² of the whole; micro-batches without targets do not take part.

    None when fewer than two micro-batches are left: there is nothing to compare.
    """
    if len(squared_norms) != len(targets):
        raise InputError(f"{len(squared_norms)} gradient norms for {len(targets)} micro-batches")
    weights = np.asarray(targets, dtype=np.float64)
    held = weights > 0
    m = int(held.sum())
    if m < 2:
        return None
    weights = weights[held]
    whole = float(weights.sum())
    p = float((weights * np.asarray(squared_norms, dtype=np.float64)[held]).sum()) / whole
    q = float(squared_norm_of_whole)
    return StepNoise(
        squared_gradient=(m * q - p) / (m - 1),
        token_variance=(p - q) * whole / (m - 1),
        targets=int(whole),
        sequences=sequences,
    )


class NoiseScaleAccumulator:
    """Collects steps and, at any time, says what they amount to. State: two floats and two counts per step."""

    def __init__(self) -> None:
        self._steps: list[StepNoise] = []

    @property
    def steps(self) -> int:
        return len(self._steps)

    def add_step(
        self, squared_norms: Sequence[float], targets: Sequence[int], squared_norm_of_whole: float, *, sequences: int
    ) -> None:
        """A step with fewer than two non-empty micro-batches, or with a gradient that is not finite, teaches nothing
        and is left out."""
        noise = step_noise(squared_norms, targets, squared_norm_of_whole, sequences=sequences)
        if noise is not None and math.isfinite(noise.squared_gradient) and math.isfinite(noise.token_variance):
            self._steps.append(noise)

    def history(self) -> tuple[StepNoise, ...]:
        return tuple(self._steps)

    def estimate(self, *, confidence: float = 0.95, last_steps: int | None = None, block_steps: int = 1) -> NoiseScale:
        """The noise scale over the last steps (all by default), neighbours averaged into blocks of `block_steps`.

        Steps that do not fill a block are left out at the *old* end.
        """
        chosen = self._steps if last_steps is None else self._steps[-last_steps:]
        blocks = len(chosen) // max(1, block_steps)
        if blocks < 1:
            raise InputError(
                f"no noise scale from {len(chosen)} steps in blocks of {block_steps}",
                remedy="measure steps of two or more micro-batches (a smaller micro-batch), or more of them",
            )
        chosen = chosen[len(chosen) - blocks * block_steps :]
        variance = _block_means([step.token_variance for step in chosen], blocks)
        gradient = _block_means([step.squared_gradient for step in chosen], blocks)
        mean_variance, mean_gradient = float(variance.mean()), float(gradient.mean())
        return NoiseScale(
            tokens=mean_variance / mean_gradient if mean_gradient > 0 else None,
            interval_tokens=ratio_interval(variance, gradient, confidence=confidence),
            tokens_per_sequence=sum(step.targets for step in chosen) / max(1, sum(step.sequences for step in chosen)),
            squared_gradient=mean_gradient,
            token_variance=mean_variance,
            steps=len(chosen),
            observations=blocks,
        )


def _block_means(values: Sequence[float], blocks: int) -> npt.NDArray[np.float64]:
    return np.asarray(values, dtype=np.float64).reshape(blocks, -1).mean(axis=1)
