"""The loss mask of rows whose store has one, laid beside their ids.

    stored mask   0 0 0 0 1 1 | 1 1         a flag per stored token, at the token's own address
    loss mask     0 0 0 0 1 1   1 1 0 0     the flag of each slot's target; padding 0

Rows of stores without a mask never come here: of them the loop only remembers where the flags change from 1 to 0.
Guarantee: nothing is read that the survey of the rows did not find checked and within its shard. Price: ~0.1 ns per
token for what is read and written; a segment costs one more search for its shard.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from batchwright.batches.buffers import BatchArrays
from batchwright.batches.row_table import RowTable, first_address, first_shard, segment_at, segments_of, shard_at
from batchwright.foundation.array_file import ArrayFile
from batchwright.foundation.compiled import hot_loop
from batchwright.sequences.address_table import view_at
from batchwright.sequences.index import SequenceIndex
from batchwright.sequences.loss_masks import count_flags

ADDRESS, UNCHECKED_FLAGS = 0, 1


def masks_of(indexes: Sequence[SequenceIndex]) -> tuple[ArrayFile | None, ...]:
    """The mask of each shard of these indexes' stores, end to end; None where the index does not count one."""
    return tuple(
        mask
        for index in indexes
        for mask in (index.stored.masks if index.masked else (None,) * len(index.stored.shards))
    )


def mask_table(masks: Sequence[ArrayFile | None]) -> NDArray[np.int64]:
    """(shards, 2) int64: the address of each shard's mask and of the bytes that say which of its MiBs are unchecked; 0
    where there is no mask. It does not keep the masks alive."""
    return np.array(
        [(0, 0) if mask is None else (mask.array.ctypes.data, mask.unchecked.ctypes.data) for mask in masks], np.int64
    ).reshape(-1, 2)


@hot_loop
def is_masked(table: RowTable, masks: NDArray[np.int64], stream: int) -> bool:
    """Whether the rows of an index carry a mask."""
    return masks[first_shard(table, stream), ADDRESS] != 0


@hot_loop
def lay_mask(
    table: RowTable,
    masks: NDArray[np.int64],
    firsts: NDArray[np.int64],
    like: NDArray[np.uint8],
    stream: int,
    row: int,
    b: int,
    out: BatchArrays,
) -> int:
    """Lay the flags of a row's segments into row b; how many are set."""
    base, slot, targets = first_address(table, stream), 0, 0
    first, stop = segments_of(table, stream, row)
    for s in range(first, stop):
        start, length = segment_at(table, stream, s)
        shard = shard_at(table, firsts, stream, base + start)
        flags = view_at(masks[shard, ADDRESS], base + start - firsts[shard], length, like)
        laid = out.loss_mask[b, slot : slot + length]
        for i in range(length):
            laid[i] = flags[i] != 0
        targets += count_flags(flags)
        slot += length
    return targets
