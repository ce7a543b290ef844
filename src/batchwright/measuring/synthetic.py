"""Steps of random ids with the shapes of real ones, for measurements in which the text does not matter (time, memory).

Guarantee: the arrays a step reads (inputs, targets, loss mask, position ids) have the dtypes and shapes of
`batches.Batch`, and the same (seed, shape) gives the same ids. Price: what random ids differ in from text: embedding
rows are read without the skew of real words.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from batchwright.foundation.errors import InputError
from batchwright.foundation.randomness import generator


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SyntheticBatch:
    """(B, T) arrays; every slot is a target."""

    inputs: npt.NDArray[np.int64]
    targets: npt.NDArray[np.int64]
    loss_mask: npt.NDArray[np.bool_]
    position_ids: npt.NDArray[np.int32]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SyntheticStep:
    """The micro-batches of one update; may be iterated any number of times."""

    batches: tuple[SyntheticBatch, ...]
    first_position: int = 0
    certificate: int = 0

    def __iter__(self) -> Iterator[SyntheticBatch]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)

    @property
    def sequences(self) -> int:
        return sum(len(batch.inputs) for batch in self.batches)

    @property
    def targets(self) -> int:
        return sum(int(batch.loss_mask.sum()) for batch in self.batches)


def synthetic_step(
    *,
    vocabulary_size: int,
    micro_batch_size: int,
    sequence_length: int,
    micro_batches: int = 1,
    document_tokens: int | None = None,
    seed: int = 0,
) -> SyntheticStep:
    """Uniform ids; positions restart every `document_tokens` (default: one document fills a row)."""
    if min(vocabulary_size, micro_batch_size, sequence_length, micro_batches) < 1:
        raise InputError("a synthetic step has at least one micro-batch of at least one row, one slot and one id")
    document = sequence_length if document_tokens is None else max(1, document_tokens)
    random = generator(seed, "synthetic-step", vocabulary_size, micro_batch_size, sequence_length)
    shape = (micro_batch_size, sequence_length)
    positions = np.broadcast_to(np.arange(sequence_length, dtype=np.int32) % document, shape)
    return SyntheticStep(
        batches=tuple(
            SyntheticBatch(
                inputs=random.integers(0, vocabulary_size, shape, dtype=np.int64),
                targets=random.integers(0, vocabulary_size, shape, dtype=np.int64),
                loss_mask=np.ones(shape, dtype=np.bool_),
                position_ids=positions.copy(),
            )
            for _ in range(micro_batches)
        )
    )
