"""Tokens per second against the micro-batch, measured on this machine with the real forward and backward.

Guarantee: what was run is what is reported. Sizes are visited in rounds, in a random order in each, so that a machine
that grows slower or busier does not favour the size that came first; medians over rounds; every size is warmed up
first. Price: the seconds you give it.

What the curve looks like on a CPU: it rises (overheads are shared), peaks, and *falls* (activations leave the cache).
The usual saturating law t₀ + t₁·B mispredicted unseen sizes by 10–15 %, interpolation between 4–5 measured anchors by
1–4 %; so that is what `at` does. An accelerator's curve rises far longer: nothing here transfers to one.
"""

import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn

from batchwright.foundation.errors import InputError
from batchwright.foundation.randomness import generator
from batchwright.measuring.synthetic import SyntheticStep, synthetic_step
from batchwright.model.description import ModelDescription
from batchwright.model.protocol import build_model
from batchwright.training.config import LossForm, TrainingConfig
from batchwright.training.objective import Objective
from batchwright.training.optimizer import build_optimizer
from batchwright.training.step import accumulate_gradient

_SHORTEST_VISIT_SECONDS = (
    0.02  # a visit repeats the micro-batch until its time is well above the clock's and the scheduler's grain
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ThroughputPoint:
    """One micro-batch size: medians over `rounds` visits, and the quartiles of tokens per second."""

    micro_batch_size: int
    tokens_per_second: float
    tokens_per_cpu_second: float
    lower_quartile: float
    upper_quartile: float
    rounds: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Throughput:
    """The curve, and the cost of an optimizer step, which larger global batches share among more tokens."""

    points: tuple[ThroughputPoint, ...]
    optimizer_seconds: float
    sequence_length: int
    flops_per_token: int | None  # none: a foreign model that does not say

    @property
    def best(self) -> ThroughputPoint:
        return max(self.points, key=lambda point: point.tokens_per_second)

    def at(self, micro_batch_size: int) -> float:
        """Tokens per second of forward and backward at a size between the measured ones (log–log interpolation)."""
        sizes = [point.micro_batch_size for point in self.points]
        if not sizes[0] <= micro_batch_size <= sizes[-1]:
            raise InputError(
                f"micro-batch {micro_batch_size} was not measured; {sizes[0]} to {sizes[-1]} were",
                remedy="measure a wider range: the curve must not be extrapolated",
            )
        rates = [math.log(point.tokens_per_second) for point in self.points]
        return math.exp(float(np.interp(math.log(micro_batch_size), np.log(sizes), rates)))

    def step_seconds(self, micro_batch_size: int, accumulation: int) -> float:
        """One update: `accumulation` micro-batches and the optimizer."""
        tokens = micro_batch_size * self.sequence_length * accumulation
        return tokens / self.at(micro_batch_size) + self.optimizer_seconds


def measure_throughput(
    model_config: ModelDescription,
    *,
    micro_batch_sizes: Sequence[int] = (1, 2, 4, 8, 16, 32, 64),
    sequence_length: int | None = None,
    isolate: bool = True,
    loss: LossForm = "chunked",
    seconds: float = 20.0,
    rounds: int = 5,
    seed: int = 0,
) -> Throughput:
    """Measures every size `rounds` times, fewer when `seconds` are over (but at least twice). Threads: torch's current
    number."""
    if not micro_batch_sizes or min(micro_batch_sizes) < 1:
        raise InputError(f"micro-batch sizes are whole numbers from 1, not {list(micro_batch_sizes)}")
    if not 0 <= seconds < math.inf:
        raise InputError(f"to measure for {seconds} seconds is not possible", remedy="a number from 0, such as 20")
    length = model_config.sequence_length if sequence_length is None else sequence_length
    sizes = sorted(set(micro_batch_sizes))
    model = build_model(model_config, seed=seed)
    steps = {
        size: synthetic_step(
            vocabulary_size=model_config.vocabulary_size,
            micro_batch_size=size,
            sequence_length=length,
            document_tokens=max(1, length // 2),
            seed=seed,
        )
        for size in sizes
    }
    objective = Objective(model, isolate=isolate, loss=loss)
    begun = time.perf_counter()
    for size in sizes:
        _visit(objective, steps[size])
    order = generator(seed, "throughput-order")
    wall: dict[int, list[float]] = {size: [] for size in sizes}
    cpu: dict[int, list[float]] = {size: [] for size in sizes}
    for visited in range(rounds):
        if visited >= 2 and time.perf_counter() - begun > seconds:
            break
        for size in (sizes[int(place)] for place in order.permutation(len(sizes))):
            wall_seconds, cpu_seconds = _visit(objective, steps[size])
            wall[size].append(size * length / wall_seconds)
            cpu[size].append(size * length / cpu_seconds)
    return Throughput(
        points=tuple(_point(size, wall[size], cpu[size]) for size in sizes),
        optimizer_seconds=_optimizer_seconds(model, length),
        sequence_length=length,
        flops_per_token=model_config.flops_per_token(length),
    )


def _visit(objective: Objective, step: SyntheticStep) -> tuple[float, float]:
    """(wall, CPU) seconds of one forward and backward, averaged over a visit."""
    count, wall, cpu = 0, time.perf_counter(), time.process_time()
    while count == 0 or time.perf_counter() - wall < _SHORTEST_VISIT_SECONDS:
        objective.zero_grad(set_to_none=True)
        accumulate_gradient(objective, step)
        count += 1
    return (time.perf_counter() - wall) / count, max(time.process_time() - cpu, 1e-9) / count


def _optimizer_seconds(model: nn.Module, length: int) -> float:
    """Median of five updates with the gradients that the last visit left."""
    config = TrainingConfig(
        global_batch_size=1, micro_batch_size=1, sequence_length=length, tokens=length, learning_rate=1e-6
    )
    optimizer = build_optimizer(model, config)
    optimizer.step()
    times: list[float] = []
    for _ in range(5):
        begun = time.perf_counter()
        optimizer.step()
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def _point(size: int, wall: list[float], cpu: list[float]) -> ThroughputPoint:
    lower, middle, upper = (float(value) for value in np.quantile(wall, (0.25, 0.5, 0.75)))
    return ThroughputPoint(
        micro_batch_size=size,
        tokens_per_second=middle,
        tokens_per_cpu_second=statistics.median(cpu),
        lower_quartile=lower,
        upper_quartile=upper,
        rounds=len(wall),
    )
