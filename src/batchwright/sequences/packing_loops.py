"""The compiled loops of packing: O(documents + T) time, ~20–50 ns per document.

Best fit needs, for every piece, the fullest row that still has room. Rows of equal room are stacked (a linked list per
room), and a bitset says which rooms occur, so the smallest room ≥ length is one search in it.
"""

import numpy as np
from numpy.typing import NDArray

from batchwright.foundation.compiled import hot_loop
from batchwright.sequences.bitset import empty_set, next_bit, put, take


@hot_loop
def cut_long_documents(
    lengths: NDArray[np.int64], sequence_length: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]:
    """(document, begin, length) of the pieces: full rows from a document's start, then what is left of it."""
    count = 0
    for i in range(lengths.shape[0]):
        count += (lengths[i] + sequence_length - 1) // sequence_length
    document, begin = np.empty(count, np.int64), np.empty(count, np.int64)
    length = np.empty(count, np.int32)
    k = 0
    for i in range(lengths.shape[0]):
        for at in range(0, lengths[i], sequence_length):
            document[k] = i
            begin[k] = at
            length[k] = min(sequence_length, lengths[i] - at)
            k += 1
    return document, begin, length


@hot_loop
def longest_first(length: NDArray[np.int32], sequence_length: int) -> NDArray[np.int64]:
    """A counting sort: piece numbers by falling length, equal lengths in the order given."""
    place = np.zeros(sequence_length + 2, np.int64)
    for k in range(length.shape[0]):
        place[length[k]] += 1
    total = 0
    for size in range(sequence_length, -1, -1):
        here = place[size]
        place[size] = total
        total += here
    order = np.empty(length.shape[0], np.int64)
    for k in range(length.shape[0]):
        order[place[length[k]]] = k
        place[length[k]] += 1
    return order


@hot_loop
def assign_rows(
    length: NDArray[np.int32], order: NDArray[np.int64], sequence_length: int
) -> tuple[NDArray[np.int64], int]:
    """(row of every piece, number of rows): each piece goes to the row with the least room that still fits it."""
    rooms, occupied = empty_set(sequence_length + 1)
    newest = np.full(sequence_length + 1, -1, np.int64)  # per room: the row on top of the stack
    below = np.empty(length.shape[0], np.int64)  # per row: the row under it
    row_of = np.empty(length.shape[0], np.int64)
    rows = 0
    for k in range(order.shape[0]):
        piece = order[k]
        size = int(length[piece])
        room = next_bit(rooms, occupied, size)
        if room < 0:
            row, room = rows, sequence_length
            rows += 1
        else:
            row = int(newest[room])
            newest[room] = below[row]
            if newest[room] < 0:
                take(rooms, occupied, room)
        row_of[piece] = row
        room -= size
        if room > 0:
            if newest[room] < 0:
                put(rooms, occupied, room)
            below[row] = newest[room]
            newest[room] = row
    return row_of, rows


@hot_loop
def pack_best_fit(
    lengths: NDArray[np.int64], sequence_length: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]:
    """(document, begin, length, row_first), pieces sorted by row and, within a row, longest first."""
    document, begin, length = cut_long_documents(lengths, sequence_length)
    order = longest_first(length, sequence_length)
    row_of, rows = assign_rows(length, order, sequence_length)
    row_first = np.zeros(rows + 1, np.int64)
    for k in range(row_of.shape[0]):
        row_first[row_of[k] + 1] += 1
    for row in range(rows):
        row_first[row + 1] += row_first[row]
    place = row_first[:rows].copy()
    sorted_document, sorted_begin = np.empty_like(document), np.empty_like(begin)
    sorted_length = np.empty_like(length)
    for k in range(order.shape[0]):
        piece = order[k]
        at = place[row_of[piece]]
        place[row_of[piece]] += 1
        sorted_document[at] = document[piece]
        sorted_begin[at] = begin[piece]
        sorted_length[at] = length[piece]
    return sorted_document, sorted_begin, sorted_length, row_first[:rows]


@hot_loop
def pack_concatenate(
    lengths: NDArray[np.int64], sequence_length: int, open_slots: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32], NDArray[np.int64], int]:
    """(document, begin, length, row_first, slots filled in the last row if it is not full)."""
    total = open_slots + lengths.sum()
    document = np.empty(lengths.shape[0] + total // sequence_length + 1, np.int64)
    begin, length = np.empty_like(document), np.empty(document.shape[0], np.int32)
    row_first = np.empty(total // sequence_length + 1, np.int64)
    filled, pieces, rows = open_slots, 0, 0
    for i in range(lengths.shape[0]):
        at = 0
        while at < lengths[i]:
            if filled == 0:
                row_first[rows] = pieces
                rows += 1
            size = min(sequence_length - filled, lengths[i] - at)
            document[pieces] = i
            begin[pieces] = at
            length[pieces] = size
            pieces += 1
            at += size
            filled = (filled + size) % sequence_length
    return document[:pieces], begin[:pieces], length[:pieces], row_first[:rows], filled
