"""Steps of batches made from a formula: what the trainer sees of the loader, without a store."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, kw_only=True)
class FakeMicroBatch:
    inputs: npt.NDArray[np.int64]
    targets: npt.NDArray[np.int64]
    loss_mask: npt.NDArray[np.bool_]
    position_ids: npt.NDArray[np.int32]


@dataclass(frozen=True, kw_only=True)
class FakeStep:
    first_position: int
    sequences: int
    targets: int
    certificate: int
    micro_batches: tuple[FakeMicroBatch, ...]

    def __iter__(self) -> Iterator[FakeMicroBatch]:
        return iter(self.micro_batches)

    def __len__(self) -> int:
        return len(self.micro_batches)


def whole_batch(seed: int, rows: int, length: int, vocabulary: int, *, ragged: bool = True) -> FakeMicroBatch:
    """Counting sequences (the next id is the last one plus 1 to 3), cut into documents, with padding where ragged."""
    draw = np.random.default_rng(seed)
    ids = np.cumsum(draw.integers(1, 4, (rows, length + 1)), axis=1) % vocabulary
    position_ids = np.tile(np.arange(length, dtype=np.int32), (rows, 1))
    mask = np.ones((rows, length), dtype=np.bool_)
    for row in range(rows):
        cut = int(draw.integers(1, length))
        position_ids[row, cut:] -= cut
        if ragged:
            mask[row, int(draw.integers(0, length + 1)) :] = False
    mask[0, 0] = True
    return FakeMicroBatch(
        inputs=ids[:, :-1].copy(), targets=ids[:, 1:].copy(), loss_mask=mask, position_ids=position_ids
    )


def step_of(batch: FakeMicroBatch, cuts: tuple[int, ...] = (), *, first_position: int = 0) -> FakeStep:
    """The batch as one step, cut into micro-batches before the given rows."""
    rows = len(batch.inputs)
    edges = (0, *cuts, rows)
    return FakeStep(
        first_position=first_position,
        sequences=rows,
        targets=int(batch.loss_mask.sum()),
        certificate=first_position,
        micro_batches=tuple(
            FakeMicroBatch(
                inputs=batch.inputs[a:b],
                targets=batch.targets[a:b],
                loss_mask=batch.loss_mask[a:b],
                position_ids=batch.position_ids[a:b],
            )
            for a, b in itertools.pairwise(edges)
        ),
    )
