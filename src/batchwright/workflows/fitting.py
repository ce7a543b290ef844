"""After a run was out of memory: the next micro-batch that fits, by the closed form.

Guarantee: fewer rows than those that did not fit, cut evenly from the global batch, so the loss curve is the same; and
a peak by `planning.memory` below what the machine says it can give. Price: a few evaluations of a formula.
"""

from dataclasses import dataclass

from batchwright.foundation.units import format_bytes
from batchwright.model.config import ModelConfig
from batchwright.planning.memory import step_memory, unknown_to_the_form
from batchwright.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class SmallerMicroBatch:
    """What to try; the bytes are None for a model that has no closed form."""

    micro_batch_size: int
    accumulation: int
    peak_bytes: int | None
    failed_bytes: int | None

    def describe(self) -> str:
        """The remedy of the error."""
        said = f"--set training.micro_batch_size={self.micro_batch_size}: the same batch in {self.accumulation} parts"
        if self.peak_bytes is None or self.failed_bytes is None:
            return f"{said}, the same curve"
        return (
            f"{said}, the same curve; by the closed form its step needs {format_bytes(self.peak_bytes)} instead of "
            f"{format_bytes(self.failed_bytes)}"
        )


def next_micro_batch(recipe: Recipe, *, memory_bytes: int) -> SmallerMicroBatch | None:
    """The largest smaller micro-batch whose step fits into `memory_bytes`; None when not even one row does."""
    training, share = recipe.training, recipe.training.global_batch_size
    failed = min(training.micro_batch_size, share)
    failed_bytes = closed_form_bytes(recipe, failed)
    tried = failed
    for accumulation in range(-(-share // failed) + 1, share + 1):
        rows = -(-share // accumulation)
        if rows == tried:
            continue
        tried, peak = rows, closed_form_bytes(recipe, rows)
        if peak is None or failed_bytes is None or peak <= min(memory_bytes, failed_bytes - 1):
            return SmallerMicroBatch(
                micro_batch_size=rows, accumulation=accumulation, peak_bytes=peak, failed_bytes=failed_bytes
            )
    return None


def closed_form_bytes(recipe: Recipe, rows: int) -> int | None:
    """The peak of the recipe's step with a micro-batch of `rows`; None where no closed form knows the model, how it
    is run or its optimizer."""
    training, model = recipe.training, recipe.model
    if not isinstance(model, ModelConfig) or unknown_to_the_form(model, training.execution, training.optimizer):
        return None
    return step_memory(
        model,
        micro_batch_size=rows,
        sequence_length=training.sequence_length,
        accumulates=rows < training.global_batch_size,
        isolate=training.isolate,
        loss=training.loss,
    ).peak_bytes
