"""Floating-point work of a step and of a run, and how much of a machine it keeps busy. Arithmetic only, no measurement.

The count per token lives with the model (`ModelConfig.flops_per_token`, forward and backward); here it is multiplied
by what `BatchGeometry` says is computed, filler included, because filler costs as much as text. Not counted: norms,
softmax, the optimizer (about 12 operations per weight and *step*, 2·P/tokens_per_step of the matrix products: it only
matters at tiny batches).
"""

from dataclasses import dataclass

from batchwright.batches.geometry import BatchGeometry
from batchwright.foundation.errors import InputError
from batchwright.model.config import ModelConfig
from batchwright.model.description import ModelDescription


@dataclass(frozen=True, kw_only=True, slots=True)
class StepCompute:
    """One update over all ranks."""

    flops: int
    """Of everything that is computed, filler rows included."""
    useful_flops: int
    """Of the rows that hold text."""
    attention_share: float
    """The share of Q·Kᵀ and A·V: it grows with T, the rest does not."""


def step_compute(model: ModelConfig, geometry: BatchGeometry) -> StepCompute:
    """FLOPs of one update of this geometry."""
    length = geometry.sequence_length
    per_token = model.flops_per_token(length)
    computed = geometry.tokens_per_micro_batch * geometry.accumulation * geometry.world_size
    return StepCompute(
        flops=per_token * computed,
        useful_flops=per_token * geometry.tokens_per_step,
        attention_share=attention_flops_per_token(model, length) / per_token,
    )


def attention_flops_per_token(model: ModelConfig, sequence_length: int) -> int:
    """12·L·D·T: what flops_per_token adds for the (T, T) scores, forward and backward, over the full square (PaLM,
    arXiv 2204.02311, B)."""
    # Only this part depends on T, and linearly: the difference keeps the formula in its one home.
    return model.flops_per_token(2 * sequence_length) - model.flops_per_token(sequence_length)


def attention_share(model: ModelDescription, sequence_length: int) -> float | None:
    """The share of Q·Kᵀ and A·V in the work of a row of T; none: a model that does not know its work."""
    once, twice = model.flops_per_token(sequence_length), model.flops_per_token(2 * sequence_length)
    return None if once is None or twice is None else (twice - once) / once


def run_flops(model: ModelDescription, *, tokens: int, sequence_length: int | None = None) -> int | None:
    """C of a whole run; 6·P·D of Kaplan 2020 (arXiv 2001.08361) plus attention, minus the embedding lookup. None: a
    model that does not know its work."""
    if tokens < 0:
        raise InputError(f"a run of {tokens} tokens makes no sense")
    per_token = model.flops_per_token(sequence_length)
    return None if per_token is None else per_token * tokens


def utilisation(*, tokens_per_second: float, flops_per_token: float, peak_flops_per_second: float) -> float:
    """MFU: model FLOPs done per second ÷ the machine's peak (PaLM, arXiv 2204.02311, B); above 1 means that a number
    is wrong."""
    if peak_flops_per_second <= 0:
        raise InputError(f"a machine's peak is positive, not {peak_flops_per_second} FLOP/s")
    return tokens_per_second * flops_per_token / peak_flops_per_second
