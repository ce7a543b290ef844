"""The learning rate as a function of tokens seen: warm-up, then cosine, linear or constant.

Guarantee: no step count anywhere, so changing the batch size (also in the middle of a run) moves no phase of the
schedule. A step is given the rate at the *middle* of its tokens: the rate's integral over the run is then the same
for every batch size, the first step does not waste itself at 0 and a decay to 0 does not waste the last.

        rate
    peak ┤    ╭──╮             warm-up: linear, [0, warmup_tokens]
         │   ╱    ╲            cosine:  final + (1 − final)·(1 + cos πp)/2   (arXiv 1608.03983)
         │  ╱       ╲___       linear:  1 − (1 − final)·p                    p = share of the tokens after the warm-up
       0 ┼─┴──────────── tokens
"""

import math
from dataclasses import dataclass
from typing import Literal, Self

from batchwright.training.config import TrainingConfig


@dataclass(frozen=True, kw_only=True)
class LearningRateSchedule:
    """Multiplies the peak by a factor between 0 and 1."""

    peak: float
    total_tokens: int
    warmup_tokens: int = 0
    decay: Literal["cosine", "linear", "constant"] = "cosine"
    final_fraction: float = 0.1

    @classmethod
    def of(cls, config: TrainingConfig) -> Self:
        return cls(
            peak=config.learning_rate,
            total_tokens=config.tokens,
            warmup_tokens=config.warmup_tokens,
            decay=config.decay,
            final_fraction=config.final_fraction,
        )

    def at(self, tokens: float) -> float:
        """The rate after `tokens`; beyond the end it stays where it ended."""
        if tokens < self.warmup_tokens:
            return self.peak * tokens / self.warmup_tokens
        share = min(1.0, (tokens - self.warmup_tokens) / max(1, self.total_tokens - self.warmup_tokens))
        if self.decay == "cosine":
            return self.peak * (self.final_fraction + (1 - self.final_fraction) * (1 + math.cos(math.pi * share)) / 2)
        if self.decay == "linear":
            return self.peak * (1 - (1 - self.final_fraction) * share)
        return self.peak

    def for_step(self, tokens_before: int, tokens_of_step: int) -> float:
        """The rate of the step that begins after `tokens_before`: that of its middle."""
        return self.at(tokens_before + tokens_of_step / 2)
