"""What mixing costs: a loader over one source beside loaders over several, CPU-seconds per step, interleaved in one
run.

    python -m benchmarks.mixing [--tokens N] [--rounds N]

Every contender reads the same tokens: the mixtures' sources are stores that together hold what the single one holds,
weighted by size, so page cache and row lengths are alike. Also: what laying rows evenly over ranks costs, and how
even they are without it.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from batchwright.batches.balance import even_layout
from batchwright.batches.geometry import BatchGeometry
from batchwright.batches.loader import BatchLoader
from batchwright.sequences.index_build import build_index
from batchwright.sequences.plan import Plan
from batchwright.sequences.sampler import Sampler
from batchwright.sequences.stage import Source
from benchmarks.loader import T, write_store

SOURCES = (1, 2, 5, 20)


def mixed(directory: Path, sources: int, tokens: int) -> Plan:
    """So many sources of equal size, weights 1, 2, 3 … of the slots."""
    made: list[Source] = []
    for number in range(sources):
        home = directory / f"{sources}-{number}"
        home.mkdir()
        index = build_index(write_store(home, tokens // sources), sequence_length=T)
        made.append(Source(name=f"source {number}", index=index, weight=number + 1))
    return Plan.mix(made)


def steps(plan: Plan, B: int, dtype: Any, **options: Any) -> Iterator[Any]:
    """Steps of one micro-batch, acknowledged."""
    geometry = BatchGeometry(
        global_batch_size=B, micro_batch_size=options.pop("micro", B), sequence_length=T,
        world_size=options.pop("world", 1),
    )  # fmt: skip
    loader = BatchLoader(plan, geometry, ids_dtype=dtype, certify=False, ring=2, **options)
    for step in loader:
        for _ in step:
            pass
        loader.acknowledge(step)
        yield step


def compare(contenders: dict[str, Iterator[Any]], rounds: int, seconds: float, warm: int) -> dict[str, float]:
    """CPU-seconds per step, the median over interleaved rounds."""

    def spent(running: Iterator[Any], count: int) -> float:
        before = time.process_time()
        for _ in range(count):
            next(running)
        return (time.process_time() - before) / count

    for running in contenders.values():
        spent(running, warm)  # compiles, checks every block once
    count = max(1, int(seconds / max(spent(running, 3) for running in contenders.values())))
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, running in contenders.items():
            times[name].append(spent(running, count))
    return {name: float(np.median(taken)) for name, taken in times.items()}


def main(arguments: Sequence[str] = ()) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=60_000_000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.15)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        plans = {count: mixed(Path(name), count, options.tokens) for count in SOURCES}
        for B, dtype in ((32, np.int64), (512, np.int64), (512, np.uint16), (1, np.int64)):
            running = {str(count): steps(plan, B, dtype) for count, plan in plans.items()}
            taken = compare(running, options.rounds, options.seconds, options.tokens // (B * T) * 2)
            print(f"B = {B:3}, {np.dtype(dtype).name:6}: " + "   ".join(
                f"{count} sources {seconds * 1e6:8.1f} µs ({seconds / taken['1'] - 1:+5.1%})"
                for count, seconds in taken.items()
            ))  # fmt: skip
        even(plans[5], options)


def even(plan: Plan, options: argparse.Namespace) -> None:
    """Price and gain of laying a step's rows over 64 ranks by attention cost."""
    for B, world in ((512, 8), (512, 64)):
        running = {
            "contiguous": steps(plan, B, np.int64, micro=B // world, world=world),
            "even": steps(plan, B, np.int64, micro=B // world, world=world, even_attention=True),
        }
        taken = compare(running, options.rounds, options.seconds, 200)
        loader = BatchLoader(plan, BatchGeometry(
            global_batch_size=B, micro_batch_size=B // world, sequence_length=T, world_size=world))  # fmt: skip
        sampler, rooms = Sampler(plan), np.full(world, B // world)
        before, after = [], []
        for step in range(100):
            costs = loader._collator.attention_costs(sampler.place([(step * B, B)]), T)
            for laid, out in ((np.arange(B), before), (even_layout(costs, rooms), after)):
                loads = costs[laid].reshape(world, -1).sum(1)
                out.append(float(loads.max() / loads.mean()))
        print(f"B = {B}, {world} ranks, one rank's step: " + "   ".join(
            f"{name} {seconds * 1e6:.1f} µs" for name, seconds in taken.items()
        ) + f"   slowest rank ÷ mean: {np.mean(before):.3f} → {np.mean(after):.3f}")  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1:])
