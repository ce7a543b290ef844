"""The compiled loop that lays segments into (B, T). Here, and nowhere else, inputs are shifted against targets.

    target at address g, its input at g - 1; a segment of L targets is one contiguous read of L + 1 ids
    row of T slots:   inputs     ␃ a b c | ␃ d | ␃ ␃ ␃        position ids restart with every segment;
                      targets    a b c ␃ | d ␃ | ␃ ␃ ␃        padding is a segment of its own, ids <endoftext>, never a target
                      positions  0 1 2 3 | 0 1 | 0 1 2

Guarantee: nothing outside a shard's payload is read and nothing outside a row written, whatever the index says; a block
of payload or index that was not checked yet is reported before it is used. Price: ~0.9 ns per token into int64, ~0.6
into uint16, inputs, targets, position ids and cu_seqlens together; nothing is allocated.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from batchwright.batches.buffers import SlotArrays
from batchwright.foundation.array_file import BLOCK_BYTES
from batchwright.foundation.compiled import hot_loop
from batchwright.sequences.address_table import array_at, view_at

_BLOCK_BITS = BLOCK_BYTES.bit_length() - 1

COMPLETE, UNCHECKED, DAMAGED = 0, 1, 2


class StoredIds(NamedTuple):
    """Payloads of the shards: their addresses, their first token addresses, and the bytes that say which MiB is
    unchecked (the address of one such array per shard)."""

    addresses: NDArray[np.int64]
    firsts: NDArray[np.int64]
    unchecked: NDArray[np.int64]
    like: NDArray[Any]
    flags_like: NDArray[np.uint8]


class RowTable(NamedTuple):
    """The sequence index's arrays and which of their MiBs are unchecked."""

    row_firsts: NDArray[np.int64]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int32]
    unchecked_rows: NDArray[np.uint8]
    unchecked_starts: NDArray[np.uint8]
    unchecked_lengths: NDArray[np.uint8]


@hot_loop
def _any_unchecked(flags: NDArray[np.uint8], first_byte: int, last_byte: int) -> bool:
    for block in range(first_byte >> _BLOCK_BITS, (last_byte >> _BLOCK_BITS) + 1):
        if flags[block]:
            return True
    return False


@hot_loop
def survey(table: RowTable, ids: StoredIds, rows: NDArray[np.int64], sequence_length: int) -> int:
    """COMPLETE when everything these rows need is checked and within bounds, else UNCHECKED or DAMAGED."""
    item_bytes = ids.like.itemsize
    for b in range(rows.shape[0]):
        row = rows[b]
        if row < 0 or row + 1 >= table.row_firsts.shape[0]:
            return DAMAGED
        if _any_unchecked(table.unchecked_rows, row << 3, ((row + 2) << 3) - 1):
            return UNCHECKED
        first, stop = table.row_firsts[row], table.row_firsts[row + 1]
        if first < 0 or stop <= first or stop > table.starts.shape[0]:
            return DAMAGED
        if _any_unchecked(table.unchecked_starts, first << 3, (stop << 3) - 1):
            return UNCHECKED
        if _any_unchecked(table.unchecked_lengths, first << 2, (stop << 2) - 1):
            return UNCHECKED
        slots = 0
        for s in range(first, stop):
            start, length = table.starts[s], table.lengths[s]
            if start < 1 or length < 1 or start + length > ids.firsts[ids.firsts.shape[0] - 1]:
                return DAMAGED
            shard = array_at(ids.firsts, start)
            local = start - ids.firsts[shard]
            if local < 1 or start + length > ids.firsts[shard + 1]:
                return DAMAGED
            blocks = view_at(
                ids.unchecked[shard], 0, ((local + length) * item_bytes >> _BLOCK_BITS) + 1, ids.flags_like
            )
            if _any_unchecked(blocks, (local - 1) * item_bytes, (local + length) * item_bytes - 1):
                return UNCHECKED
            slots += length
        if slots > sequence_length:
            return DAMAGED
    return COMPLETE


@hot_loop
def gather(table: RowTable, ids: StoredIds, rows: NDArray[np.int64], eot_id: int, out: SlotArrays) -> tuple[int, int]:
    """Lay these rows into the first rows of `out`, filler into the rest; (targets, longest segment). The rows have been
    surveyed."""
    micro_batch_size, sequence_length = out.inputs.shape
    segments = longest = total = 0
    out.cu_seqlens[0] = 0
    for b in range(micro_batch_size):
        filled = 0
        if b < rows.shape[0]:
            for s in range(table.row_firsts[rows[b]], table.row_firsts[rows[b] + 1]):
                start, length = table.starts[s], np.int64(table.lengths[s])
                shard = array_at(ids.firsts, start)
                source = view_at(ids.addresses[shard], start - 1 - ids.firsts[shard], length + 1, ids.like)
                # Local slices, so that the compiler sees contiguous memory and vectorises the three copies.
                before, after = source[:length], source[1:]
                inputs = out.inputs[b, filled : filled + length]
                targets = out.targets[b, filled : filled + length]
                positions = out.position_ids[b, filled : filled + length]
                for i in range(length):
                    inputs[i] = before[i]
                for i in range(length):
                    targets[i] = after[i]
                for i in range(length):
                    positions[i] = i
                filled += length
                segments += 1
                out.cu_seqlens[segments] = b * sequence_length + filled
                longest = max(longest, length)
        padding = sequence_length - filled
        if padding > 0:
            out.inputs[b, filled:] = eot_id
            out.targets[b, filled:] = eot_id
            positions = out.position_ids[b, filled:]
            for i in range(padding):
                positions[i] = i
            segments += 1
            out.cu_seqlens[segments] = (b + 1) * sequence_length
            longest = max(longest, padding)
        # The mask of the batch that lay here before is right but between the two ends.
        out.loss_mask[b, filled : out.filled[b]] = False
        out.loss_mask[b, out.filled[b] : filled] = True
        out.filled[b] = filled
        total += filled
    out.cu_seqlens[segments + 1 : out.segments[0] + 1] = micro_batch_size * sequence_length
    out.segments[0] = segments
    return total, longest
