"""Whether a checkpoint belongs to the run that a recipe describes. No torch here.

A run is what was trained so far; so two recipes are of the same run when they would have trained the same until here.
Fields that change no result may differ (`config.FREE_FIELDS`), and so may the budget and the decay as long as both
schedules gave the same rates up to the checkpoint: a constant run goes on for as long as one likes, one with a late
decay (`decay = "wsd"`) may get another budget, or another decay, until its decay has begun. A field that a checkpoint
does not know is as its default was.
"""

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

from batchwright.sequences.plan import differing
from batchwright.training.config import TrainingConfig
from batchwright.training.lr_schedule import LearningRateSchedule

HORIZON_FIELDS = ("tokens", "decay", "final_fraction", "decay_share", "decay_shape")


def differences(theirs: Mapping[str, Any], ours: TrainingConfig, *, tokens: int) -> list[str]:
    """In what the run of `theirs` (a `TrainingConfig.same_run`) differed during its first `tokens`, in words."""
    defaults = {field.name: field.default for field in fields(TrainingConfig) if field.default is not MISSING}
    mine = ours.same_run()
    other = {**{name: _as_json(value) for name, value in defaults.items() if name in mine}, **theirs}
    if _schedule(other).agrees_until(_schedule(mine), tokens):
        other |= {name: mine[name] for name in HORIZON_FIELDS}
    return list(differing(other, mine))


def _schedule(run: Mapping[str, Any]) -> LearningRateSchedule:
    return LearningRateSchedule(
        peak=run["learning_rate"],
        total_tokens=run["tokens"],
        warmup_tokens=run["warmup_tokens"],
        **{name: run[name] for name in HORIZON_FIELDS if name != "tokens"},
    )


def _as_json(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
