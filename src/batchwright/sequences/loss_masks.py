"""How many tokens of each segment are targets, where a store has a loss mask beside its tokens.

    tokens   ␃ q q q a a ␃ q a ␃        segment (1, 6): q q q a a ␃      3 targets
    mask     0 0 0 0 1 1 1 0 1 1        segment (7, 3): q a ␃            2 targets

A token that is masked out keeps its slot and is the next one's input; it is no target. Guarantee: segments together
have as many targets as the masks name, counted a second time in another way (`target_count`). Price: the masks are
read for their checksums
and counted twice, a byte per token; a long segment is counted at ~20 GB per CPU-second.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from batchwright.foundation.array_file import ArrayFile
from batchwright.foundation.compiled import hot_loop
from batchwright.sequences.address_table import AddressTable, array_at, view_at
from batchwright.sequences.stored_tokens import StoredTokens

# What a byte counts up to: so many flags are added in bytes, 32 or 64 at a time, before their sum is widened.
_BYTE_SUMS = 255


@hot_loop
def count_flags(mask: NDArray[np.uint8]) -> int:
    """How many bytes are not zero."""
    total = 0
    for first in range(0, mask.shape[0], _BYTE_SUMS):
        part = mask[first : first + _BYTE_SUMS]
        flags = np.uint8(0)
        for i in range(part.shape[0]):
            flags = np.uint8(flags + np.uint8(part[i] != 0))
        total += np.int64(flags)
    return int(total)


@hot_loop
def _count_segments(
    addresses: NDArray[np.int64],
    firsts: NDArray[np.int64],
    like: NDArray[Any],
    starts: NDArray[np.int64],
    lengths: NDArray[np.int32],
    out: NDArray[np.int32],
) -> None:
    for k in range(starts.shape[0]):
        shard = array_at(firsts, starts[k])
        inside = starts[k] >= 0 and starts[k] + lengths[k] <= firsts[shard + 1]
        out[k] = count_flags(view_at(addresses[shard], starts[k] - firsts[shard], lengths[k], like)) if inside else -1


class LossMasks:
    """The masks of a split's shards, one flag per item of their tokens."""

    def __init__(self, files: Sequence[ArrayFile]) -> None:
        self.files = tuple(files)
        self._table = AddressTable.of([file.array for file in self.files])

    @classmethod
    def of(cls, stored: StoredTokens) -> "LossMasks | None":
        """Those of a split; None where it has none."""
        return cls(stored.masks) if stored.masks else None

    def verify(self) -> None:
        """Read and check all masks. Raises CorruptDataError."""
        for file in self.files:
            file.verify()

    @cached_property
    def target_count(self) -> int:
        """Targets that the masks name, segments aside."""
        return sum(int(np.count_nonzero(file.array)) for file in self.files)

    def targets_in(self, starts: NDArray[np.int64], lengths: NDArray[np.int32]) -> NDArray[np.int32]:
        """(N,) targets of the segments at these token addresses; -1 where one does not lie in one shard."""
        out, table = np.empty(starts.shape[0], np.int32), self._table
        _count_segments(table.addresses, table.firsts, table.like, starts, lengths, out)
        return out
