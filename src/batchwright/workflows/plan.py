"""What a recipe would need, before anything runs: geometry, peak memory by part, work.

Price: closed forms, milliseconds and no torch. Where the one of memory does not know the model's parts, how it is
run or its optimizer, the real step is traced on fake tensors instead, seconds for each size that is tried, and the
reasons say so. So it is for a foreign model, which must be built for that, its weights in memory once.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from batchwright.batches.geometry import BatchGeometry
from batchwright.foundation.units import format_bytes, format_seconds
from batchwright.model.config import ModelConfig
from batchwright.model.description import ModelDescription
from batchwright.planning.compute import attention_share, run_flops
from batchwright.planning.hardware import this_machine
from batchwright.planning.memory import PARTS, StepMemory, step_memory, unknown_to_the_form
from batchwright.planning.planner import FittedGeometry, MemoryOfStep, Reason, fit_geometry
from batchwright.recipe import Recipe
from batchwright.sequences.batch_rule import steps_within
from batchwright.training.config import TrainingConfig


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """The recipe's own geometry, and the one that fits the memory."""

    recipe: Recipe
    geometry: BatchGeometry
    memory: StepMemory
    fitted: FittedGeometry
    memory_bytes: int
    steps: int
    flops: int | None  # this and the next: none for a model that does not know its work
    attention_share: float | None
    seconds: float | None  # of the whole run, when a measured rate was given

    @property
    def fits(self) -> bool:
        return self.memory.peak_bytes <= self.fitted.usable_bytes

    def to_json(self) -> dict[str, Any]:
        return {
            "geometry": {
                **asdict(self.geometry),
                "accumulation": self.geometry.accumulation,
                "tokens_per_step": self.geometry.tokens_per_step,
                "filler_rows": self.geometry.filler_rows,
            },
            "parameters": self.recipe.model.parameter_count(),
            "fits": self.fits,
            "peak_bytes": self.memory.peak_bytes,
            "peak_moment": self.memory.peak.name,
            "memory_source": self.memory.source,
            "parts": self.memory.peak.parts,
            "phase_peaks": self.memory.phase_peaks,
            "hidden_bytes": self.memory.hidden_bytes,
            "memory_bytes": self.memory_bytes,
            "usable_bytes": self.fitted.usable_bytes,
            "largest_micro_batch_size": self.fitted.largest_micro_batch_size,
            "fitted_micro_batch_size": self.fitted.geometry.micro_batch_size,
            "fitted_accumulation": self.fitted.geometry.accumulation,
            "steps": self.steps,
            "flops": None
            if self.flops is None
            else float(self.flops),  # 15 T tokens of 124 M weights are more than 64 bits, and JSON has no more
            "attention_share": self.attention_share,
            "seconds": self.seconds,
            "reasons": [asdict(reason) for reason in (*self.fitted.reasons, *self.hyperparameters())],
        }

    def hyperparameters(self) -> tuple[Reason, ...]:
        """The numbers that must change with the batch, as the recipe has them. Nothing here is a recommendation."""
        training = self.recipe.training
        warmup, _ = steps_within(
            training.batch_rule, sequence_length=training.sequence_length, slots=training.warmup_tokens
        )
        given = {
            "learning_rate": f"{training.learning_rate:g}",
            "β₂": f"{training.betas[1]:g}",
            "warm-up": f"{training.warmup_tokens:,} tokens = {warmup:,} steps",
        }
        if training.ramp is not None:
            given["batch ramp"] = (
                f"{training.ramp}, {training.ramp_from:,} to {training.global_batch_size:,} sequences; "
                f"ramp_tokens = {training.ramp_tokens:,}"
            )
        because = "as in the recipe; whether it suits this batch only a run can tell (batchwright measure sweep)"
        return tuple(Reason(name=name, value=value, because=because, source="given") for name, value in given.items())

    def rows(self) -> list[tuple[str, str, str]]:
        """(part, bytes, share of the peak) of the recipe's own geometry, largest first."""
        parts = sorted(PARTS, key=lambda part: -self.memory.peak.parts[part])
        peak = self.memory.peak_bytes
        return [
            (part, format_bytes(size), f"{size / peak:.0%}") for part in parts if (size := self.memory.peak.parts[part])
        ]

    def duration(self) -> str | None:
        return None if self.seconds is None else format_seconds(self.seconds)


def plan_run(
    recipe: Recipe,
    *,
    world_size: int = 1,
    memory_bytes: int | None = None,
    tokens_per_second: float | None = None,
    fastest_micro_batch_size: int | None = None,
) -> RunPlan:
    """`memory_bytes` is what one rank has (default: this machine's free memory); a rate must have been measured."""
    training, model = recipe.training, recipe.model
    geometry = BatchGeometry(
        global_batch_size=training.global_batch_size,
        micro_batch_size=training.micro_batch_size,
        sequence_length=training.sequence_length,
        world_size=world_size,
    )
    memory_of_step = _memory_of(model, training)
    available = this_machine().available_bytes if memory_bytes is None else memory_bytes
    steps, slots = steps_within(training.batch_rule, sequence_length=training.sequence_length, slots=training.tokens)
    return RunPlan(
        recipe=recipe,
        geometry=geometry,
        memory=memory_of_step(training.micro_batch_size, training.sequence_length, geometry.accumulation > 1),
        fitted=fit_geometry(
            model,
            global_batch_size=training.global_batch_size,
            memory_bytes=available,
            sequence_length=training.sequence_length,
            world_size=world_size,
            isolate=training.isolate,
            loss=training.loss,
            memory_of_step=memory_of_step,
            fastest_micro_batch_size=fastest_micro_batch_size,
        ),
        memory_bytes=available,
        steps=steps,
        flops=run_flops(model, tokens=slots, sequence_length=training.sequence_length),
        attention_share=attention_share(model, training.sequence_length),
        seconds=None if tokens_per_second is None else slots / tokens_per_second,
    )


def _memory_of(model: ModelDescription, training: TrainingConfig) -> MemoryOfStep:
    """The closed form where it holds, else the trace, the only thing here that needs torch."""
    if not isinstance(model, ModelConfig) or unknown_to_the_form(model, training.execution, training.optimizer):
        from batchwright.measuring.step_trace import traced_memory

        memory: Callable[..., StepMemory] = partial(
            traced_memory,
            execution=training.execution,
            optimizer=training.optimizer,
            momentum=training.momentum,
        )
    else:
        memory = step_memory
    return lambda rows, length, accumulates: memory(
        model,
        micro_batch_size=rows,
        sequence_length=length,
        accumulates=accumulates,
        isolate=training.isolate,
        loss=training.loss,
    )
