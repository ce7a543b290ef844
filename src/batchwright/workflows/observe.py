"""Measurements of one recipe on this machine, as plain tables: speed, memory, gradient noise.

Price: `observe_speed` takes the seconds it is given, `observe_memory` two real training steps per row,
`observe_noise` the steps it is asked for.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from batchwright.batches.loader import BatchLoader
from batchwright.foundation.errors import InputError
from batchwright.measuring.memory_trace import MemoryReport
from batchwright.measuring.noise_monitor import NoiseMonitor
from batchwright.measuring.step_trace import trace_step
from batchwright.measuring.throughput import measure_throughput
from batchwright.model.config import ModelConfig
from batchwright.model.description import ModelDescription
from batchwright.model.probe import probed
from batchwright.planning.memory import step_memory
from batchwright.recipe import Recipe
from batchwright.training.checkpoint import load_model, read_progress
from batchwright.training.checkpoint_write import Checkpoints
from batchwright.training.config import TrainingConfig
from batchwright.training.hyper_parameters import HyperParameters
from batchwright.training.objective import Objective
from batchwright.training.optimizer import build_optimizer
from batchwright.training.parallel import parallel_of
from batchwright.training.ranks import Ranks
from batchwright.training.step import train_step
from batchwright.training.trainer import CHECKPOINTS_NAME
from batchwright.workflows.run_directory import recipe_of_run
from batchwright.workflows.train import geometry_of, open_data

NOISE_BLOCKS = 32
CONFIDENCE = 0.95

Json = dict[str, Any]


@contextmanager
def on_threads(threads: int) -> Iterator[None]:
    """torch on so many threads, and its earlier number put back."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def describe_noise(monitor: NoiseMonitor, *, batch_tokens: int, drifting: bool) -> Json:
    """What a monitor says. `drifting`: the weights changed while it watched.

    Then the second half counts (a run's beginning has another noise scale), and neighbouring steps are averaged into
    blocks, because the interval takes its observations to be independent.
    """
    steps = monitor.steps // 2 if drifting else monitor.steps
    block = max(1, steps // NOISE_BLOCKS) if drifting else 1
    if steps < 2 * block:
        nothing = {"tokens": None, "low": None, "high": None, "tokens_per_sequence": 1.0, "confidence": CONFIDENCE}
        return {**nothing, "steps": monitor.steps, "observations": 0, "batch_tokens": batch_tokens}
    noise = monitor.estimate(confidence=CONFIDENCE, last_steps=steps, block_steps=block)
    return {
        "tokens": noise.tokens,
        "low": noise.interval_tokens.lower,
        "high": noise.interval_tokens.upper,
        "tokens_per_sequence": noise.tokens_per_sequence,
        "confidence": CONFIDENCE,
        "steps": noise.steps,
        "observations": noise.observations,
        "batch_tokens": batch_tokens,
    }


def observe_noise(
    recipe: Recipe,
    run_directory: Path | None,
    *,
    steps: int,
    heard: Callable[[int, int], None],
    ranks: Ranks | None = None,
) -> Json:
    """The noise scale at frozen weights: those of a run's newest checkpoint, or fresh ones.

    The real step runs with a learning rate of 0, on the rows that the run would see next. `ranks` (see `started_ranks`)
    call this together, each on its own rows of every step, and all of them get the same answer.
    """
    ranks = Ranks() if ranks is None else ranks
    if steps < 1:
        raise InputError(f"a noise scale out of {steps} steps is none", remedy="--steps 64")
    if run_directory is not None:
        recipe = recipe_of_run(recipe, run_directory)  # with what that run skips, or its state would be of another plan
    ranks.check_alike({"recipe": recipe.to_table(), "steps": steps})
    training, geometry = recipe.training, geometry_of(recipe, ranks=ranks.size)
    loader = BatchLoader(ranks.together(lambda: open_data(recipe)).plan, geometry, rank=ranks.rank)
    newest = None if run_directory is None else Checkpoints(run_directory / CHECKPOINTS_NAME).newest()
    if run_directory is not None and newest is None:
        raise InputError("there is no checkpoint of a run here", where=str(run_directory), remedy="leave --run out")
    if newest is None:
        model = probed(recipe.model, seed=training.seed, isolate=training.isolate)
    else:
        model = load_model(newest, recipe.model)
        loader.restore(read_progress(newest).data)
    objective = Objective(model.to(ranks.device), isolate=training.isolate, loss=training.loss)
    parallel = parallel_of(objective, "ddp", ranks)  # with shards no rank has a micro-batch's whole gradient
    optimizer, monitor = build_optimizer(model, training), NoiseMonitor(ranks=ranks)
    for number, batches in enumerate(islice(loader, steps), start=1):
        train_step(
            objective,
            optimizer,
            batches,
            step=number,
            tokens_before=0,
            hyper_parameters=HyperParameters(learning_rate=0.0),
            parallel=parallel,
            observers=[monitor],
        )
        heard(number, steps)
    value = describe_noise(monitor, batch_tokens=geometry.tokens_per_step, drifting=False)
    return {**value, "checkpoint": None if newest is None else newest.name}


def observe_speed(
    model: ModelDescription, training: TrainingConfig, *, micro_batch_sizes: Sequence[int], seconds: float
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
    model: ModelDescription,
    training: TrainingConfig,
    *,
    rows: Sequence[int],
    lengths: Sequence[int],
    widths: Sequence[int],
    progress: Callable[[int, int], None],
) -> Json:
    """Closed form and real allocations while one of B, T and D varies and the others stay as the recipe has them.

    Of a foreign model the real allocations alone, while B or T varies: its width is its own, and no form knows it.
    """
    if not isinstance(model, ModelConfig):
        return _observe_foreign_memory(model, training, rows=rows, lengths=lengths, progress=progress)
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


def _observe_foreign_memory(
    model: ModelDescription,
    training: TrainingConfig,
    *,
    rows: Sequence[int],
    lengths: Sequence[int],
    progress: Callable[[int, int], None],
) -> Json:
    """Rows longer than the model is meant for are left out."""
    base = (training.micro_batch_size, training.sequence_length)
    possible = [length for length in lengths if length <= model.sequence_length] or [base[1]]
    probed(model, seed=training.seed, isolate=training.isolate, read=False)  # refuses what would not train, either
    shapes = [(b, base[1]) for b in rows], [(base[0], t) for t in possible]
    total = sum(map(len, shapes))
    found: list[Json] = []
    for b, t in (shape for axis in shapes for shape in axis):
        traced = _traced(model, training, b, t)
        measured = {"peak_bytes": traced.peak_bytes, "traced_bytes": traced.peak_bytes, "parts": traced.parts}
        found.append({"B": b, "T": t, "D": None, **measured, "peak_moment": traced.peak_phase})
        progress(len(found), total)
    return {"by_rows": found[: len(rows)], "by_length": found[len(rows) :], "by_width": []}


def _traced(model: ModelDescription, training: TrainingConfig, rows: int, length: int) -> MemoryReport:
    """What the real step allocates at one (B, T)."""
    return trace_step(
        model,
        micro_batch_size=rows,
        sequence_length=length,
        isolate=training.isolate,
        loss=training.loss,
        execution=training.execution,
        optimizer=training.optimizer,
        momentum=training.momentum,
    )


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
        execution=training.execution,
        optimizer=training.optimizer,
    )
    traced = _traced(wider, training, rows, length)
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
