"""Measurements of one recipe on this machine, as plain tables: speed over micro-batches, memory over B, T and D.

Price: `speed` takes the seconds it is given; `memory` two real training steps per row.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

from batchwright.measuring.step_trace import trace_step
from batchwright.measuring.throughput import measure_throughput
from batchwright.model.config import ModelConfig
from batchwright.planning.memory import step_memory
from batchwright.training.config import TrainingConfig

Json = dict[str, Any]


def observe_speed(
    model: ModelConfig, training: TrainingConfig, *, micro_batch_sizes: Sequence[int], seconds: float
) -> Json:
    """Tokens per second at each micro-batch."""
    measured = measure_throughput(
        model,
        micro_batch_sizes=micro_batch_sizes,
        sequence_length=training.sequence_length,
        isolate=training.isolate,
        loss=training.loss,
        seconds=seconds,
    )
    return {
        "points": [asdict(point) for point in measured.points],
        "best_micro_batch_size": measured.best.micro_batch_size,
        "optimizer_seconds": measured.optimizer_seconds,
        "sequence_length": measured.sequence_length,
        "flops_per_token": measured.flops_per_token,
    }


def observe_memory(
    model: ModelConfig,
    training: TrainingConfig,
    *,
    rows: Sequence[int],
    lengths: Sequence[int],
    widths: Sequence[int],
    progress: Callable[[int, int], None],
) -> Json:
    """Closed form and real allocations while one of B, T and D varies and the others stay as the recipe has them."""
    base = (training.micro_batch_size, training.sequence_length, model.width)
    axes = {
        "by_rows": [(b, base[1], base[2]) for b in rows],
        "by_length": [(base[0], t, base[2]) for t in lengths],
        "by_width": [(base[0], base[1], d) for d in widths],
    }
    total = sum(len(shapes) for shapes in axes.values())
    done = 0

    def measured(shapes: Sequence[tuple[int, int, int]]) -> Iterator[Json]:
        nonlocal done
        for b, t, d in shapes:
            yield _memory_row(model, training, b, t, d)
            done += 1
            progress(done, total)

    return {name: list(measured(shapes)) for name, shapes in axes.items()}


def _memory_row(model: ModelConfig, training: TrainingConfig, rows: int, length: int, width: int) -> Json:
    """One shape: a width of D keeps the proportions of the recipe's model (heads of the same size, F/D)."""
    wider = replace(
        model,
        width=width,
        heads=max(1, width // model.head_size),
        feed_forward_width=model.feed_forward_width * width // model.width,
        sequence_length=max(length, model.sequence_length),
    )
    predicted = step_memory(
        wider,
        micro_batch_size=rows,
        sequence_length=length,
        isolate=training.isolate,
        loss=training.loss,
    )
    traced = trace_step(
        wider, micro_batch_size=rows, sequence_length=length, isolate=training.isolate, loss=training.loss
    )
    return {
        "B": rows,
        "T": length,
        "D": width,
        "stream_bytes": predicted.hidden_bytes,
        "parts": predicted.peak.parts,
        "peak_bytes": predicted.peak_bytes,
        "peak_moment": predicted.peak.name,
        "traced_bytes": traced.peak_bytes,
        "traced_parts": traced.parts,
    }
