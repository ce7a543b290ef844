"""What a step asks of the machine: MFU and memory, put into its record.

Guarantee: MFU is the model's FLOPs (its closed form) per second over a peak that was named or measured, and None
where the model has no closed form or no peak is known; never a guess. Memory is the process's high-water mark on a CPU
(so it never falls, and holds the interpreter and its libraries, about 250 MB) and the allocator's of this step on CUDA.
Price: ~20 µs a step.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from batchwright.foundation.resident_memory import peak_resident_bytes
from batchwright.measuring.machine_peak import measure_machine_peak
from batchwright.planning.compute import utilisation
from batchwright.recipe import Recipe
from batchwright.training.ranks import Ranks
from batchwright.training.step import StepRecord


@dataclass(frozen=True, kw_only=True)
class StepGauge:
    """`flops_per_token` of rows of T, or None for a model that does not know; `peak_flops_per_second` of all ranks."""

    flops_per_token: Callable[[int], int | None]
    peak_flops_per_second: float | None

    def __call__(self, record: StepRecord, sequence_length: int) -> StepRecord:
        return replace(record, mfu=self._mfu(record, sequence_length), peak_memory_bytes=peak_memory_bytes())

    def _mfu(self, record: StepRecord, sequence_length: int) -> float | None:
        flops = self.flops_per_token(sequence_length)
        if flops is None or self.peak_flops_per_second is None:
            return None
        return utilisation(
            tokens_per_second=record.tokens_per_second,
            flops_per_token=flops,
            peak_flops_per_second=self.peak_flops_per_second,
        )


def gauge_of(recipe: Recipe, peak: dict[str, Any] | None) -> StepGauge:
    """The gauge of a recipe's run."""
    return StepGauge(
        flops_per_token=recipe.model.flops_per_token,
        peak_flops_per_second=None if peak is None else peak["flops_per_second"],
    )


def peak_of_ranks(recipe: Recipe, ranks: Ranks) -> dict[str, Any] | None:
    """What MFU is measured against, and where that comes from: the recipe's word, or the fastest matrix products that
    these ranks make at the same time with the recipe's threads. None for a model whose work is not known."""
    if recipe.model.flops_per_token() is None:
        return None
    named = recipe.run.peak_flops_per_second
    if named is not None:
        return {"kind": "named", "flops_per_second": named}
    mine = measure_machine_peak(threads=recipe.training.threads, device=ranks.device)
    (together,) = ranks.sums((mine.flops_per_second,))
    return {"kind": "measured", **asdict(mine), "flops_per_second": together}


def peak_memory_bytes() -> int:
    """The most memory held so far; on CUDA since the last call."""
    if torch.cuda.is_initialized():
        peak = torch.cuda.max_memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        return peak
    return peak_resident_bytes()
