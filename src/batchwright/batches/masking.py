"""The loss mask of rows whose store has one, laid over the mask that says what is padding.

    after the ids   1 1 1 1 1 1 | 1 1 0 0     `gather.lay_rows`: a slot is filled or it is padding
    stored mask     0 0 0 0 1 1 | 1 1         a flag per stored token, at the token's own address
    loss mask       0 0 0 0 1 1   1 1 0 0     the flag of each slot's target

A pass of its own after the ids, so that stores without a mask pay nothing for it. Guarantee: nothing is read that is
not checked and within its shard; nothing of a former batch remains, whatever rows were laid before. Price: 0.4-0.5 ns
per token where the masks lie beyond the cache, most of it waiting for memory; in a batch that mixes rows with and
without a mask, those without are written once more.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from batchwright.batches.row_table import (
    COMPLETE,
    UNCHECKED,
    RowTable,
    any_unchecked,
    first_address,
    segment_at,
    segments_of,
    shard_at,
)
from batchwright.foundation.array_file import ArrayFile
from batchwright.foundation.compiled import hot_loop
from batchwright.sequences.address_table import view_at
from batchwright.sequences.index import SequenceIndex
from batchwright.sequences.loss_masks import count_flags
from batchwright.sequences.sampler import ROW, STREAM


class StoredMasks(NamedTuple):
    """The masks of the shards: their addresses (0: that shard has none), the addresses of the bytes that say which of
    their MiBs are unchecked, and the shards' first token addresses."""

    addresses: NDArray[np.int64]
    unchecked: NDArray[np.int64]
    firsts: NDArray[np.int64]
    like: NDArray[np.uint8]


def masks_of(indexes: Sequence[SequenceIndex]) -> tuple[ArrayFile | None, ...]:
    """The mask of each shard of these indexes' stores, end to end; None where the index does not count one."""
    return tuple(
        mask
        for index in indexes
        for mask in (index.stored.masks if index.masked else (None,) * len(index.stored.shards))
    )


def stored_masks(masks: Sequence[ArrayFile | None], firsts: NDArray[np.int64]) -> StoredMasks | None:
    """None when no shard has a mask. It does not keep the masks alive."""
    if all(mask is None for mask in masks):
        return None
    return StoredMasks(
        addresses=np.array([0 if mask is None else mask.array.ctypes.data for mask in masks], np.int64),
        unchecked=np.array([0 if mask is None else mask.unchecked.ctypes.data for mask in masks], np.int64),
        firsts=firsts,
        like=np.empty(0, np.uint8),
    )


@hot_loop
def _survey(table: RowTable, masks: StoredMasks, placed: NDArray[np.int64]) -> int:
    """COMPLETE when all flags of these rows are checked, else UNCHECKED."""
    for i in range(placed.shape[0]):
        stream = placed[i, STREAM]
        base = first_address(table, stream)
        first, stop = segments_of(table, stream, placed[i, ROW])
        for s in range(first, stop):
            start, length = segment_at(table, stream, s)
            shard = shard_at(table, masks.firsts, stream, base + start)
            flags, local = masks.unchecked[shard], base + start - masks.firsts[shard]
            if flags != 0 and any_unchecked(flags, local, local + length - 1):
                return UNCHECKED
    return COMPLETE


@hot_loop
def lay_masks(
    table: RowTable, masks: StoredMasks, placed: NDArray[np.int64], loss_mask: NDArray[np.uint8]
) -> tuple[int, int]:
    """(status, targets): the flags of these rows' segments into `loss_mask`, (B, T) as bytes, whose padding is right
    already. The rows were surveyed and laid; nothing is written unless the status is COMPLETE."""
    status, targets = _survey(table, masks, placed), 0
    if status != COMPLETE:
        return status, targets
    for b in range(placed.shape[0]):
        stream, slot = placed[b, STREAM], 0
        base = first_address(table, stream)
        first, stop = segments_of(table, stream, placed[b, ROW])
        for s in range(first, stop):
            start, length = segment_at(table, stream, s)
            shard = shard_at(table, masks.firsts, stream, base + start)
            laid = loss_mask[b, slot : slot + length]
            slot += length
            if masks.addresses[shard] == 0:
                laid[:] = 1
                continue
            flags = view_at(masks.addresses[shard], base + start - masks.firsts[shard], length, masks.like)
            for i in range(laid.shape[0]):
                laid[i] = min(flags[i], np.uint8(1))
        targets += count_flags(loss_mask[b, :slot])
    return status, targets
