"""The loss on held-out rows: the same rows, in the same order, every time.

Guarantee: loss per token is the mean over all target tokens evaluated, not a mean of batch means, and depends on
nothing but the weights (and, in its last bits, on the micro-batch). Bits per byte makes vocabularies comparable: loss
/ ln 2 × tokens / bytes of text. Price: a third of the time that training on the same rows would take.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch

from batchwright.foundation.errors import InputError
from batchwright.training.objective import MicroBatch, Objective, target_count
from batchwright.training.step import memory_errors


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """What a model scores on held-out text."""

    step: int
    tokens: int  # slots trained on so far
    loss: float  # nats per target token
    targets: int  # held-out target tokens
    bits_per_byte: float | None  # None where the bytes of text per token are not known


@torch.no_grad()
def evaluate(
    objective: Objective,
    batches: Iterable[MicroBatch],
    *,
    step: int = 0,
    tokens: int = 0,
    bytes_per_token: float | None = None,
) -> Evaluation:
    """Score the model on these batches. `bytes_per_token` is that of the held-out text, `<endoftext>` counted."""
    loss_sum, targets = 0.0, 0
    for batch in batches:
        with memory_errors(batch, f"evaluation after step {step}"):
            total = objective(*objective.tensors_of(batch))
        loss_sum += total.item()
        targets += target_count(batch)
    if targets < 1:
        raise InputError("there is no held-out target token to evaluate on", remedy="a larger validation fraction")
    loss = loss_sum / targets
    return Evaluation(
        step=step,
        tokens=tokens,
        loss=loss,
        targets=targets,
        bits_per_byte=None if bytes_per_token is None else loss / math.log(2) / bytes_per_token,
    )
