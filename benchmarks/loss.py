"""What the chunked cross-entropy saves: `python -m benchmarks.loss`.

The last part of a GPT-2 step, V = 50,257, in both forms of `model.loss`, taking turns: CPU-seconds of whole training
steps (forward, loss, backward, AdamW; medians), and the peak of the bytes that torch's allocator itself reports during
one of them (profiler memory events), on top of what lives between steps (weights, optimizer)."""

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import median

import numpy as np
import torch

from batchwright.measuring.synthetic import synthetic_step
from batchwright.model.presets import preset
from batchwright.model.transformer import Transformer
from batchwright.training.config import LossForm, TrainingConfig
from batchwright.training.hyper_parameters import HyperParameters
from batchwright.training.objective import Objective
from batchwright.training.optimizer import build_optimizer
from batchwright.training.step import train_step

FORMS: tuple[LossForm, ...] = ("whole", "chunked")


def step_of(loss: LossForm, *, layers: int, rows: int, length: int) -> tuple[Callable[[], object], int]:
    """A step to be repeated, and the bytes that live between two of them."""
    shape = replace(preset("gpt2-124m"), layers=layers)
    model = Transformer(shape, seed=0)
    config = TrainingConfig(
        global_batch_size=rows, micro_batch_size=rows, sequence_length=length, tokens=rows * length, learning_rate=1e-4
    )
    optimizer, objective = build_optimizer(model, config), Objective(model, loss=loss)
    batches = synthetic_step(vocabulary_size=shape.vocabulary_size, micro_batch_size=rows, sequence_length=length)

    def step() -> None:
        train_step(
            objective,
            optimizer,
            batches,
            step=1,
            tokens_before=0,
            hyper_parameters=HyperParameters(learning_rate=1e-4),
        )
        optimizer.zero_grad()

    return step, 3 * 4 * shape.parameter_count()


def allocator_peak(work: Callable[[], object]) -> int:
    """Above what lived before."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profiler:
        work()
    events = profiler.profiler.kineto_results.events()
    moves = sorted((event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]")
    return int(np.cumsum([size for _, size in moves]).max())


def cpu_seconds(work: Callable[[], object]) -> float:
    begin = time.process_time()
    work()
    return time.process_time() - begin


def main(arguments: Sequence[str] = ()) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--rows", type=int, default=4)
    parser.add_argument("--length", type=int, default=256)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    given = {"layers": options.layers, "rows": options.rows, "length": options.length}
    steps = {form: step_of(form, **given) for form in FORMS}
    taken: dict[str, list[float]] = {form: [] for form in FORMS}
    for _ in range(options.rounds + 1):
        for form, (step, _) in steps.items():
            taken[form].append(cpu_seconds(step))
    seconds = {form: median(times[1:]) for form, times in taken.items()}
    peaks = {form: allocator_peak(step) for form, (step, _) in steps.items()}
    print(f"GPT-2's width, {given}, load {os.getloadavg()[0]:.1f}")
    print("loss      step, CPU s   fastest   moving MiB   whole peak MiB")
    for form, (_, resting) in steps.items():
        print(
            f"{form:<9} {seconds[form]:>11.2f} {min(taken[form][1:]):>9.2f} {peaks[form] / 2**20:>12.0f} "
            f"{(peaks[form] + resting) / 2**20:>16.0f}"
        )
    resting = steps["whole"][1]
    print(
        f"chunked: peak −{1 - (peaks['chunked'] + resting) / (peaks['whole'] + resting):.0%} "
        f"(moving −{1 - peaks['chunked'] / peaks['whole']:.0%}), "
        f"time {seconds['chunked'] / seconds['whole'] - 1:+.1%}"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
