"""All sequence indexes of a plan as one table of addresses, and the compiled loops that read rows of any of them.

Guarantee: nothing is read outside an index' arrays and nothing is believed that points outside its own store; a block
that was not checked yet is reported before it is used. Price: 104 bytes per index; a row of any of a thousand indexes
costs what a row of one does.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from batchwright.foundation.array_file import BLOCK_BYTES
from batchwright.foundation.compiled import hot_loop
from batchwright.sequences.address_table import array_between, i4_at, i8_at, u1_at
from batchwright.sequences.index import SequenceIndex
from batchwright.sequences.sampler import ROW, STREAM

COMPLETE, UNCHECKED, DAMAGED = 0, 1, 2
_BLOCK_BITS = BLOCK_BYTES.bit_length() - 1

# Columns of the table: addresses of the four arrays, of the bytes that say which of their MiBs are unchecked …
_ROW_FIRSTS, _STARTS, _LENGTHS, _TARGETS = 0, 1, 2, 3
_UNCHECKED = 4
# … and counts: rows, segments, the token addresses of its store, and the first of these and of its shards when all
# stores are laid end to end (the last row of the table holds the ends of both).
_ROWS, _SEGMENTS, _ADDRESSES, _FIRST_ADDRESS, _FIRST_SHARD = 8, 9, 10, 11, 12
_COLUMNS = 13


class RowTable(NamedTuple):
    """Where the columns above lie, a line per index and one more, and `size`, how many indexes there are: two
    numbers, which a loop passes on for nothing."""

    address: int
    size: int


def row_table(indexes: Sequence[SequenceIndex]) -> tuple[RowTable, NDArray[np.int64]]:
    """A table over these indexes, whose stores' shards lie end to end in this order, and the memory that it lies in: it
    keeps neither that nor the indexes alive."""
    table = np.zeros((len(indexes) + 1, _COLUMNS), np.int64)
    first_address = first_shard = 0
    for s, index in enumerate(indexes):
        files = index.row_firsts, index.starts, index.lengths, index.row_targets
        addresses = sum(shard.tokens.count for shard in index.stored.shards)
        table[s] = (
            *(file.array.ctypes.data for file in files),
            *(file.unchecked.ctypes.data for file in files),
            min(index.row_count, index.row_firsts.count - 1),
            min(index.starts.count, index.lengths.count),
            addresses,
            first_address,
            first_shard,
        )
        first_address += addresses
        first_shard += len(index.stored.shards)
    table[len(indexes), _FIRST_ADDRESS], table[len(indexes), _FIRST_SHARD] = first_address, first_shard
    return RowTable(table.ctypes.data, len(indexes)), table


@hot_loop
def _column(table: RowTable, s: int, column: int) -> int:
    return i8_at(table.address, s * _COLUMNS + column)


@hot_loop
def any_unchecked(flags: int, first_byte: int, last_byte: int) -> bool:
    """Whether a MiB that these bytes lie in was not checked yet; `flags` is the address of the bytes that say so."""
    block, last = first_byte >> _BLOCK_BITS, last_byte >> _BLOCK_BITS
    while block < last and u1_at(flags, block) == 0:
        block += 1
    return u1_at(flags, block) != 0


@hot_loop
def _unchecked(table: RowTable, s: int, array: int, first_byte: int, last_byte: int) -> bool:
    return any_unchecked(_column(table, s, _UNCHECKED + array), first_byte, last_byte)


@hot_loop
def segments_of(table: RowTable, s: int, row: int) -> tuple[int, int]:
    """[first, stop): the segments of a row; no check."""
    firsts = _column(table, s, _ROW_FIRSTS)
    return i8_at(firsts, row), i8_at(firsts, row + 1)


@hot_loop
def segment_at(table: RowTable, s: int, segment: int) -> tuple[int, int]:
    """(start, length) of a segment, in addresses of its own store; no check."""
    return (
        i8_at(_column(table, s, _STARTS), segment),
        i4_at(_column(table, s, _LENGTHS), segment),
    )


@hot_loop
def first_address(table: RowTable, s: int) -> int:
    """What an address of index s' store is in the addresses of all stores."""
    return _column(table, s, _FIRST_ADDRESS)


@hot_loop
def shard_at(table: RowTable, firsts: NDArray[np.int64], s: int, address: int) -> int:
    """Which shard of index s' store holds an address of all stores; `firsts` are those of all their shards."""
    return array_between(firsts, address, _column(table, s, _FIRST_SHARD), _column(table, s + 1, _FIRST_SHARD))


@hot_loop
def survey_row(table: RowTable, s: int, row: int) -> int:
    """COMPLETE when the index' entries for a row are there and checked, else UNCHECKED or DAMAGED."""
    if s < 0 or s >= table.size:
        return DAMAGED
    if row < 0 or row >= _column(table, s, _ROWS):
        return DAMAGED
    if _unchecked(table, s, _ROW_FIRSTS, row << 3, ((row + 2) << 3) - 1):
        return UNCHECKED
    first, stop = segments_of(table, s, row)
    if first < 0 or stop <= first or stop > _column(table, s, _SEGMENTS):
        return DAMAGED
    if _unchecked(table, s, _STARTS, first << 3, (stop << 3) - 1):
        return UNCHECKED
    if _unchecked(table, s, _LENGTHS, first << 2, (stop << 2) - 1):
        return UNCHECKED
    return COMPLETE


@hot_loop
def lies_in_store(table: RowTable, s: int, start: int, length: int) -> bool:
    """Whether a segment points into its own store, and not into the one laid behind it."""
    return start >= 1 and length >= 1 and start + length <= _column(table, s, _ADDRESSES)


@hot_loop
def count_targets(table: RowTable, placed: NDArray[np.int64]) -> tuple[int, int]:
    """(status, targets in these rows together); `placed` is `PlacedRows.table`."""
    total = 0
    for i in range(placed.shape[0]):
        s, row = placed[i, STREAM], placed[i, ROW]
        if s < 0 or s >= table.size or row < 0 or row >= _column(table, s, _ROWS):
            return DAMAGED, 0
        if _unchecked(table, s, _TARGETS, row << 2, ((row + 1) << 2) - 1):
            return UNCHECKED, 0
        total += i4_at(_column(table, s, _TARGETS), row)
    return COMPLETE, total


@hot_loop
def attention_costs(table: RowTable, placed: NDArray[np.int64], sequence_length: int, out: NDArray[np.int64]) -> int:
    """Σ L² of every row's segments, its padding one of them, into `out`; the status."""
    for i in range(placed.shape[0]):
        s, row = placed[i, STREAM], placed[i, ROW]
        status = survey_row(table, s, row)
        if status != COMPLETE:
            return status
        first, stop = segments_of(table, s, row)
        cost, slots = 0, 0
        for segment in range(first, stop):
            _, length = segment_at(table, s, segment)
            cost += length * length
            slots += length
        out[i] = cost + (sequence_length - slots) * (sequence_length - slots)
    return COMPLETE
