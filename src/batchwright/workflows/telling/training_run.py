"""What training did: loss from ln V downward, on held-out documents too, how fast."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from batchwright.foundation.units import format_count, format_seconds
from batchwright.workflows.section import Block, Grid, Section
from batchwright.workflows.strings import Say

NEAR_UNIFORM_NATS = 0.35
LINES = 10


def tell_training(result: Mapping[str, Any], geometry: str, say: Say) -> Section:
    """The third chapter. `result`: parameters, vocabulary_size, steps (records), evaluations, …"""
    steps, evaluations = result["steps"], result["evaluations"]
    uniform = math.log(result["vocabulary_size"])
    first, last = steps[0]["loss"], evaluations[-1]["loss"]
    near = abs(first - uniform) < NEAR_UNIFORM_NATS
    blocks: list[Block] = [
        say("train.model", parameters=format_count(result["parameters"]), shape=result["shape"]),
        geometry,
        say(
            "train.begin.near" if near else "train.begin.far",
            loss=f"{first:.2f}",
            uniform=f"{uniform:.2f}",
            vocabulary=f"{result['vocabulary_size']:,}",
        ),
        Grid(header=(say("train.tokens"), say("train.loss"), say("train.validation")), rows=_curve(steps, evaluations)),
    ]
    if last < uniform:
        blocks.append(say("train.learned", loss=f"{last:.2f}", choices=f"{math.exp(last):,.0f}"))
    else:
        blocks.append(say("train.not_learned", loss=f"{last:.2f}", uniform=f"{uniform:.2f}"))
    blocks.append(_gap(steps, last, say))
    tokens = steps[-1]["tokens"]
    blocks.append(
        say(
            "train.speed",
            tokens=f"{tokens:,}",
            steps=f"{len(steps):,}",
            seconds=format_seconds(result["training_seconds"]),
            rate=f"{tokens / result['training_seconds']:,.0f}",
        )
    )
    return Section(title=say("train.title"), blocks=tuple(blocks))


def _curve(
    steps: Sequence[Mapping[str, Any]], evaluations: Sequence[Mapping[str, Any]]
) -> tuple[tuple[str, str, str], ...]:
    """Each evaluation beside the mean training loss since the one before."""
    rows: list[tuple[str, str, str]] = []
    before = 0
    for evaluation in evaluations:
        seen = [s["loss"] for s in steps if before < s["tokens"] <= evaluation["tokens"]]
        mean = f"{sum(seen) / len(seen):.3f}" if seen else ""
        rows.append((f"{evaluation['tokens']:,}", mean, f"{evaluation['loss']:.3f}"))
        before = evaluation["tokens"]
    stride = max(1, math.ceil(len(rows) / LINES))
    kept = [row for place, row in enumerate(rows) if place % stride == 0 or place == len(rows) - 1]
    return tuple(kept)


def _gap(steps: Sequence[Mapping[str, Any]], validation: float, say: Say) -> str:
    """Whether the model does worse on documents it never saw."""
    tail = steps[-max(1, len(steps) // 10) :]
    training = sum(step["loss"] for step in tail) / len(tail)
    spread = math.sqrt(sum((step["loss"] - training) ** 2 for step in tail) / len(tail))
    gap = validation - training
    key = "train.gap.worse" if gap > spread else "train.gap.better" if gap < -spread else "train.gap.none"
    return say(key, gap=f"{abs(gap):.2f}", training=f"{training:.2f}", spread=f"{spread:.2f}")
