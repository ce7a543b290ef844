"""The learning rate as a function of tokens seen: warm-up, then cosine, linear, constant, or stable and a late decay.

Guarantee: no step count anywhere, so changing the batch size (also in the middle of a run) moves no phase of the
schedule. A step is given the rate at the *middle* of its tokens: the rate's integral over the run is then the same
for every batch size, the first step does not waste itself at 0 and a decay to 0 does not waste the last.

        rate
    peak ┤    ╭──╮             warm-up: linear, [0, warmup_tokens]
         │   ╱    ╲            cosine:  final + (1 − final)·(1 + cos πp)/2   (arXiv 1608.03983)
         │  ╱       ╲___       linear:  1 − (1 − final)·p                    p = share of the tokens after the warm-up
       0 ┼─┴──────────── tokens
    peak ┤   ╭─────────╮       wsd (warm-up, stable, decay; MiniCPM, arXiv 2404.06395): the peak until the last
         │  ╱          │╲      `decay_share` of the tokens, then p = share of those, and
         │ ╱           │ ╲     linear: 1 − (1 − final)·p     1-sqrt: 1 − (1 − final)·√p  (Hägele 2024, arXiv 2405.18392)
       0 ┼┴────────────┴── tokens

A schedule does not know its end before `blind_until` (the whole run when constant, the start of the decay with wsd,
the end of the warm-up otherwise): until there, a budget may be changed without changing what was trained.
"""

import math
from dataclasses import dataclass
from typing import Self

from batchwright.training.config import Decay, DecayShape, TrainingConfig


@dataclass(frozen=True, kw_only=True)
class LearningRateSchedule:
    """Multiplies the peak by a factor between 0 and 1."""

    peak: float
    total_tokens: int
    warmup_tokens: int = 0
    decay: Decay = "cosine"
    final_fraction: float = 0.1
    decay_share: float = 0.2
    decay_shape: DecayShape = "1-sqrt"

    @classmethod
    def of(cls, config: TrainingConfig) -> Self:
        return cls(
            peak=config.learning_rate,
            total_tokens=config.tokens,
            warmup_tokens=config.warmup_tokens,
            decay=config.decay,
            final_fraction=config.final_fraction,
            decay_share=config.decay_share,
            decay_shape=config.decay_shape,
        )

    @property
    def blind_until(self) -> float:
        """Tokens before which the rate does not depend on the budget."""
        if self.decay == "constant":
            return math.inf
        return self._stable_until if self.decay == "wsd" else self.warmup_tokens

    def agrees_until(self, other: "LearningRateSchedule", tokens: int) -> bool:
        """Whether both gave the same rates to the first `tokens`."""
        blind = min(self.blind_until, other.blind_until)
        same_rise = (self.peak, self.warmup_tokens) == (other.peak, other.warmup_tokens)
        return self == other or (same_rise and tokens <= blind)

    def at(self, tokens: float) -> float:
        """The rate after `tokens`; beyond the end it stays where it ended."""
        if tokens < self.warmup_tokens:
            return self.peak * tokens / self.warmup_tokens
        if self.decay == "constant":
            return self.peak
        begin = self._stable_until if self.decay == "wsd" else self.warmup_tokens
        share = min(1.0, max(0.0, (tokens - begin) / max(1, self.total_tokens - begin)))
        return self.peak * self._fallen(share)

    def for_step(self, tokens_before: int, tokens_of_step: int) -> float:
        """The rate of the step that begins after `tokens_before`: that of its middle."""
        return self.at(tokens_before + tokens_of_step / 2)

    @property
    def _stable_until(self) -> int:
        return max(self.warmup_tokens, self.total_tokens - round(self.decay_share * self.total_tokens))

    def _fallen(self, share: float) -> float:
        """The factor when `share` of the decay is over."""
        if self.decay == "cosine":
            return self.final_fraction + (1 - self.final_fraction) * (1 + math.cos(math.pi * share)) / 2
        if self.decay == "wsd" and self.decay_shape == "1-sqrt":
            share = math.sqrt(share)
        return 1 - (1 - self.final_fraction) * share
