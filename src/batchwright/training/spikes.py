"""When a loss or a gradient norm jumps: a rule on the log of a run, stated in one place.

    window     the steps before this one within `window_tokens` slots, at least 16 and at most the newest 256 of them
    deviation  1.4826 × median absolute deviation of the window (a normal distribution's standard deviation)
    loss       above the window's median by more than 6 deviations and by more than 5 % of the median
    gradient   its logarithm above the median of logarithms by more than 6 deviations and by more than ln 5

A spike begins where either holds; later steps belong to it until eight in a row are calm. Falling curves raise no
alarm, because only what lies above the median counts.

Guarantee: a function of the records before, so a run that was killed and resumed finds the same spikes. Measured on
normal runs: docs/lab-notes.md has the rate of false alarms. Price: medians of at most 256 numbers, 25–35 µs a step.
"""

import math
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from batchwright.training.step import StepRecord  # which needs torch, and the rule does not

FEWEST_STEPS, MOST_STEPS = 16, 256
CALM_STEPS = 8
LOSS_SHARE = 0.05
NORM_FACTOR = 5.0
TO_STANDARD_DEVIATION = 1.4826  # of a normal distribution's median absolute deviation


@dataclass(frozen=True, kw_only=True, slots=True)
class Spike:
    """One step that is part of a spike. A deviation is None where that quantity was not judged to jump."""

    step: int
    tokens: int
    began: int  # the first step of the same spike; a new one where it is `step`
    first_position: int
    stop_position: int  # positions [first, stop) were eaten by this step
    loss: float
    usual_loss: float  # the window's median
    loss_deviations: float | None
    gradient_norm: float
    usual_gradient_norm: float
    gradient_deviations: float | None
    documents: tuple[dict[str, Any], ...] = ()  # those that fill most of the batch first
    document_count: int = 0  # of the whole batch


@dataclass(kw_only=True)
class SpikeWatch:
    """Looks at one step after another."""

    window_tokens: int
    deviations: float | None = 6.0  # None: nothing is a spike
    _seen: deque[tuple[int, float, float]] = field(default_factory=lambda: deque(maxlen=MOST_STEPS), repr=False)
    _began: int | None = None
    _last: int = 0

    def look(self, record: "StepRecord", *, stop_position: int) -> Spike | None:
        """The spike that this step is part of, or None. Steps come in order, each once."""
        found = self._judge(record, stop_position)
        self._remember(record.tokens, record.loss, record.gradient_norm)
        return found

    def remember(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Take up what a log says: its steps and the spikes found among them."""
        for record in records:
            if record["kind"] == "step":
                self._remember(record["tokens"], record["loss"], record["gradient_norm"])
            elif record["kind"] == "spike":
                self._began, self._last = record["began"], record["step"]

    def _remember(self, tokens: int, loss: float, norm: float) -> None:
        self._seen.append((tokens, loss, math.log(max(norm, 1e-30))))

    def _judge(self, record: "StepRecord", stop_position: int) -> Spike | None:
        if self.deviations is None:
            return None
        oldest = record.tokens - self.window_tokens
        losses = np.fromiter((loss for tokens, loss, _ in self._seen if tokens > oldest), np.float64)
        if len(losses) < FEWEST_STEPS:
            return None
        norms = np.fromiter((norm for tokens, _, norm in self._seen if tokens > oldest), np.float64)
        usual_loss, loss_deviations = _compared(losses, record.loss)
        usual_log, norm_deviations = _compared(norms, math.log(max(record.gradient_norm, 1e-30)))
        usual_norm = math.exp(usual_log)
        loss_jumps = loss_deviations > self.deviations and record.loss > usual_loss * (1 + LOSS_SHARE)
        norm_jumps = norm_deviations > self.deviations and record.gradient_norm > usual_norm * NORM_FACTOR
        if not (loss_jumps or norm_jumps):
            return None
        if self._began is None or record.step - self._last > CALM_STEPS:
            self._began = record.step
        self._last = record.step
        return Spike(
            step=record.step,
            tokens=record.tokens,
            began=self._began,
            first_position=record.first_position,
            stop_position=stop_position,
            loss=record.loss,
            usual_loss=usual_loss,
            loss_deviations=loss_deviations if loss_jumps else None,
            gradient_norm=record.gradient_norm,
            usual_gradient_norm=usual_norm,
            gradient_deviations=norm_deviations if norm_jumps else None,
        )


def robust_deviation(values: npt.NDArray[np.float64]) -> float:
    """A standard deviation that single outliers do not move."""
    return float(TO_STANDARD_DEVIATION * np.median(np.abs(values - np.median(values))))


def _compared(window: npt.NDArray[np.float64], value: float) -> tuple[float, float]:
    """(median, how many deviations above it the value lies; JSON knows no infinity, so at most 10⁶)."""
    middle = _median(window)
    deviation = TO_STANDARD_DEVIATION * _median(np.abs(window - middle))
    above = value - middle
    return middle, min(1e6, above / deviation if deviation > 0 else math.copysign(1e6, above))


def _median(values: npt.NDArray[np.float64]) -> float:
    """np.median without its 20 µs of preparations."""
    ordered, half = np.sort(values), len(values) // 2
    return float(ordered[half]) if len(values) % 2 else float(ordered[half - 1] + ordered[half]) / 2
