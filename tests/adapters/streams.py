"""What the tests of torch's adapters share: a plan over a small store, and what a loader itself would give."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from batchwright.batches.geometry import BatchGeometry
from batchwright.batches.loader import BatchLoader
from batchwright.sequences.index_build import build_index
from batchwright.sequences.plan import Plan
from tests.sequences.small_store import write_store

T = 16


def small_plan(home: Path, seed: int = 0, rows_wanted: int = 60, *, masked: bool = False) -> Plan:
    """About so many rows of 16 slots: short documents, long ones, and padding; `masked`: a third of their tokens are no
    targets."""
    lengths = np.random.default_rng(1).integers(2, 40, rows_wanted * T // 20).tolist()
    # One token too many for whole rows, so that there is padding.
    lengths.append(T + 1 - sum(lengths) % T)
    flags = np.random.default_rng(2)
    masks = [(flags.random(length) > 1 / 3).astype(int).tolist() for length in lengths] if masked else None
    store = write_store(home, lengths, shard_documents=9, masks=masks)
    return Plan.of(build_index(store, sequence_length=T), seed=seed)


def loader_of(plan: Plan, G: int, m: int, world: int = 1, rank: int = 0) -> BatchLoader:
    geometry = BatchGeometry(global_batch_size=G, micro_batch_size=m, sequence_length=T, world_size=world)
    return BatchLoader(plan, geometry, rank=rank)


def expected(loader: BatchLoader, steps: int) -> list[dict[str, Any]]:
    """The micro-batches of the first steps, as arrays of their own."""
    made: list[dict[str, Any]] = []
    position = loader.position
    for _ in range(steps):
        step = loader.step_from(position)
        for batch in step:
            made.append(
                {
                    "inputs": batch.inputs.copy(),
                    "targets": batch.targets.copy(),
                    "loss_mask": batch.loss_mask.copy(),
                    "position_ids": batch.position_ids.copy(),
                    "positions": batch.positions.copy(),
                }
            )
        position = step.stop_position
    return made


def same(item: Any, wanted: dict[str, Any]) -> bool:
    """A dict of tensors, or stacked rows, against arrays."""
    fields = item if isinstance(item, dict) else {**item._asdict(), "positions": item.position}
    return all(np.array_equal(fields[name].numpy(), value) for name, value in wanted.items())


def take(items: Iterable[Any], count: int) -> list[Any]:
    """The first items; the iterator is closed, and its workers with it."""
    iterator: Iterator[Any] = iter(items)
    return list(islice(iterator, count))
