"""The compiled loop that lays segments into (B, T).

    target at address g, its input at g - 1; a segment of L targets is one contiguous read of L + 1 ids

    inputs        ␃ a b c | ␃ d | ␃ ␃ ␃
    targets       a b c ␃ | d ␃ | ␃ ␃ ␃      padding: <endoftext>, a segment of its own, masked
    position ids  0 1 2 3 | 0 1 | 0 1 2      restart with every segment

Guarantee: nothing outside a shard's payload is read and nothing outside a row written, whatever the index says; a block
of payload or index that was not checked yet is reported before it is used. What the batch before left right (mask,
position ids of a row's first segment) is not written again. Price: 1-1.5 ns per token into int64, 0.7-0.9 into uint16,
inputs, targets, position ids and cu_seqlens together, which is what the memory takes (`python -m benchmarks.rivals`
states both); nothing is allocated.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from batchwright.batches.buffers import BatchArrays
from batchwright.batches.paired_copy import copy_paired, settle
from batchwright.batches.row_table import (
    COMPLETE,
    DAMAGED,
    UNCHECKED,
    RowTable,
    any_unchecked,
    first_address,
    lies_in_store,
    segment_at,
    segments_of,
    shard_at,
    survey_row,
)
from batchwright.foundation.compiled import hot_loop
from batchwright.sequences.address_table import view_at
from batchwright.sequences.sampler import EPOCH, POSITION, ROW, STREAM

_ROWS_AHEAD = 8


class StoredIds(NamedTuple):
    """Payloads of the shards: their addresses, their first token addresses, and the bytes that say which MiB is
    unchecked (the address of one such array per shard)."""

    addresses: NDArray[np.int64]
    firsts: NDArray[np.int64]
    unchecked: NDArray[np.int64]
    like: NDArray[Any]
    flags_like: NDArray[np.uint8]


@hot_loop
def _survey_segment(table: RowTable, ids: StoredIds, stream: int, start: int, length: int) -> int:
    """Whether the ids [start - 1, start + length) lie in one shard and are checked."""
    shard = shard_at(table, ids.firsts, stream, start)
    local = start - ids.firsts[shard]
    if local < 1 or start + length > ids.firsts[shard + 1]:
        return DAMAGED
    first_byte, last_byte = (local - 1) * ids.like.itemsize, (local + length) * ids.like.itemsize - 1
    return UNCHECKED if any_unchecked(ids.unchecked[shard], first_byte, last_byte) else COMPLETE


@hot_loop
def survey(table: RowTable, ids: StoredIds, placed: NDArray[np.int64], sequence_length: int) -> int:
    """COMPLETE when everything these rows need is checked and within bounds, else UNCHECKED or DAMAGED."""
    for i in range(placed.shape[0]):
        stream, row = placed[i, STREAM], placed[i, ROW]
        status = survey_row(table, stream, row)
        if status != COMPLETE:
            return status
        slots, base = 0, first_address(table, stream)
        first, stop = segments_of(table, stream, row)
        for s in range(first, stop):
            start, length = segment_at(table, stream, s)
            if not lies_in_store(table, stream, start, length):
                return DAMAGED
            status = _survey_segment(table, ids, stream, base + start, length)
            if status != COMPLETE:
                return status
            slots += length
        if slots > sequence_length:
            return DAMAGED
    return COMPLETE


@hot_loop
def _touch(table: RowTable, ids: StoredIds, placed: NDArray[np.int64]) -> int:
    """Read two cache lines of every segment, all at once: the processor fetches them together, where the copying loops
    would wait for one after the other (10-25 % faster on random rows)."""
    seen = np.int64(0)
    for i in range(placed.shape[0]):
        stream = placed[i, STREAM]
        base = first_address(table, stream)
        first, stop = segments_of(table, stream, placed[i, ROW])
        for s in range(first, stop):
            start, length = segment_at(table, stream, s)
            start += base
            shard = shard_at(table, ids.firsts, stream, start)
            source = view_at(ids.addresses[shard], start - 1 - ids.firsts[shard], length + 1, ids.like)
            seen ^= np.int64(source[0]) ^ np.int64(source[min(length, 32)])
    return int(seen)


@hot_loop
def _lay_ids(
    table: RowTable, ids: StoredIds, stream: int, start: int, stop: int, b: int, slot: int, out: BatchArrays
) -> None:
    """The targets at the addresses [start, stop), and their inputs, from slot on."""
    shard, length = shard_at(table, ids.firsts, stream, start), stop - start
    source = view_at(ids.addresses[shard], start - 1 - ids.firsts[shard], length + 1, ids.like)
    copy_paired(source, out.inputs[b, slot : slot + length], out.targets[b, slot : slot + length], out.past_cache[0])


@hot_loop
def _lay_positions(b: int, slot: int, length: int, out: BatchArrays) -> None:
    """0, 1, 2 … into a segment. A row's first segment mostly finds them there already, from the batch that lay here."""
    done = 0
    if slot == 0:
        done, out.leading[b] = min(out.leading[b], length), length
    positions = out.position_ids[b, slot + done : slot + length]
    for i in range(positions.shape[0]):
        positions[i] = done + i


@hot_loop
def _lay_row(
    table: RowTable, ids: StoredIds, stream: int, row: int, b: int, segments: int, out: BatchArrays
) -> tuple[int, int, int]:
    """Lay a row's segments into row b; (slots filled, segments so far, longest of these)."""
    filled = longest = 0
    base = first_address(table, stream)
    first, stop = segments_of(table, stream, row)
    # Segments that follow each other in the store (rows of `Concatenate`) are one run of ids.
    run_start = run_stop = run_slot = 0
    for s in range(first, stop):
        start, length = segment_at(table, stream, s)
        start += base
        if start != run_stop:
            if run_stop > run_start:
                _lay_ids(table, ids, stream, run_start, run_stop, b, run_slot, out)
            run_start, run_slot = start, filled
        run_stop = start + length
        _lay_positions(b, filled, length, out)
        filled += length
        segments += 1
        out.cu_seqlens[segments] = b * out.inputs.shape[1] + filled
        longest = max(longest, length)
    _lay_ids(table, ids, stream, run_start, run_stop, b, run_slot, out)
    return filled, segments, longest


@hot_loop
def _lay_padding(b: int, filled: int, eot_id: int, out: BatchArrays) -> None:
    out.inputs[b, filled:] = eot_id
    out.targets[b, filled:] = eot_id
    _lay_positions(b, filled, out.position_ids.shape[1] - filled, out)


@hot_loop
def lay_rows(
    table: RowTable,
    ids: StoredIds,
    placed: NDArray[np.int64],
    eot_id: int,
    out: BatchArrays,
) -> tuple[int, int, int]:
    """Lay these rows into the first rows of `out`, filler into the rest; (status, targets, longest segment). Nothing is
    written unless the status is COMPLETE."""
    micro_batch_size, sequence_length = out.inputs.shape
    status = survey(table, ids, placed, sequence_length)
    segments = longest = total = 0
    if status != COMPLETE:
        return status, total, longest
    out.cu_seqlens[0] = 0
    for b in range(micro_batch_size):
        real = b < placed.shape[0]
        if b % _ROWS_AHEAD == 0:
            out.touched[0] = _touch(table, ids, placed[b : b + _ROWS_AHEAD])
        out.streams[b] = placed[b, STREAM] if real else -1
        out.rows[b] = placed[b, ROW] if real else -1
        out.epochs[b] = placed[b, EPOCH] if real else -1
        out.positions[b] = placed[b, POSITION] if real else -1
        filled = 0
        if real:
            filled, segments, longest_here = _lay_row(table, ids, placed[b, STREAM], placed[b, ROW], b, segments, out)
            longest = max(longest, longest_here)
        if filled < sequence_length:
            _lay_padding(b, filled, eot_id, out)
            segments += 1
            out.cu_seqlens[segments] = (b + 1) * sequence_length
            longest = max(longest, sequence_length - filled)
        # The mask of the batch that lay here before is right but between its end and ours.
        out.loss_mask[b, filled : out.filled[b]] = False
        out.loss_mask[b, out.filled[b] : filled] = True
        out.filled[b] = filled
        total += filled
    out.cu_seqlens[segments + 1 : out.segments[0] + 1] = micro_batch_size * sequence_length
    out.segments[0] = segments
    if out.past_cache[0]:
        settle()
    return status, total, longest
