"""The compiled loop of start-aligned packing: O(documents + T) per window, ~60-150 ns per document.

A buffer of N documents waits. Each time the largest of them that fits into the room left in the row is laid; if none
fits, the shortest is, and what exceeds the row is dropped. Among equals the one that came first goes first.

    N = 3, T = 6, documents a … g of 5 4 3 2 9 9 9 tokens
    buffer a b c    row 0  a a a a a d    a fits; none of b c d fits into the slot left: the shortest, d, cropped to 1
    buffer b c e    row 1  b b b b c c    b fits; none of c e f fits into two slots: c, cropped to 2
    buffer e f g    row 2  e e e e e e    nothing fits into six slots: e, cropped to 6

A document longer than T never fits; it waits until nothing shorter is left, and the buffer fills up with such ones:
from then on every row ends in a crop. Documents up to T queue by length (a linked list each, a bitset says which
lengths occur); longer ones lie in a heap by (length, arrival).
"""

import numpy as np
from numpy.typing import NDArray

from batchwright.foundation.compiled import hot_loop
from batchwright.sequences.bitset import empty_set, next_bit, previous_bit, put, take


@hot_loop
def _heap_before(lengths: NDArray[np.int64], left: int, right: int) -> bool:
    return lengths[left] < lengths[right] or (lengths[left] == lengths[right] and left < right)


@hot_loop
def _heap_push(heap: NDArray[np.int32], size: int, lengths: NDArray[np.int64], document: int) -> None:
    at = size
    while at > 0:
        parent = (at - 1) >> 1
        if not _heap_before(lengths, document, heap[parent]):
            break
        heap[at] = heap[parent]
        at = parent
    heap[at] = document


@hot_loop
def _heap_pop(heap: NDArray[np.int32], size: int, lengths: NDArray[np.int64]) -> int:
    """The shortest, taken out of the first `size`."""
    shortest, moved = heap[0], heap[size - 1]
    at, child = 0, 1
    while child < size - 1:
        if child + 1 < size - 1 and _heap_before(lengths, heap[child + 1], heap[child]):
            child += 1
        if not _heap_before(lengths, heap[child], moved):
            break
        heap[at] = heap[child]
        at, child = child, 2 * child + 1
    heap[at] = moved
    return int(shortest)


@hot_loop
def pack_start_aligned(
    lengths: NDArray[np.int64], sequence_length: int, buffer_documents: int, open_slots: int, last: bool
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64], int, NDArray[np.int64]]:
    """(document, length, row_first, slots filled in the last row if it is not full, documents still waiting).

    Every piece begins at its document's start. Unless `last`, packing stops when the buffer cannot be filled again.
    """
    count = lengths.shape[0]
    present, occupied = empty_set(sequence_length + 1)
    head, tail = np.full(sequence_length + 1, -1, np.int32), np.full(sequence_length + 1, -1, np.int32)
    behind = np.full(count, -1, np.int32)
    heap = np.empty(min(count, buffer_documents), np.int32)
    waiting = np.zeros(count, np.bool_)
    document, length = np.empty(count, np.int64), np.empty(count, np.int32)
    row_first = np.empty(count, np.int64)
    entered = short = long = pieces = rows = 0
    filled = open_slots
    while True:
        while entered < count and short + long < buffer_documents:
            size = lengths[entered]
            if size > sequence_length:
                _heap_push(heap, long, lengths, entered)
                long += 1
            else:
                if head[size] < 0:
                    head[size] = entered
                    put(present, occupied, size)
                else:
                    behind[tail[size]] = entered
                tail[size] = entered
                short += 1
            waiting[entered] = True
            entered += 1
        if short + long == 0 or (short + long < buffer_documents and not last):
            break
        room = sequence_length - filled
        fit = previous_bit(present, occupied, room)
        if fit < 0:
            fit = next_bit(present, occupied, room + 1)
        if fit >= 0:
            chosen = int(head[fit])
            head[fit] = behind[chosen]
            if head[fit] < 0:
                take(present, occupied, fit)
            short -= 1
        else:
            chosen = _heap_pop(heap, long, lengths)
            long -= 1
        waiting[chosen] = False
        if filled == 0:
            row_first[rows] = pieces
            rows += 1
        laid = min(lengths[chosen], room)
        document[pieces] = chosen
        length[pieces] = laid
        pieces += 1
        filled = (filled + laid) % sequence_length
    return document[:pieces], length[:pieces], row_first[:rows], filled, np.flatnonzero(waiting)
