"""A split's documents packed window after window: the one sequence of windows that indexes and ledgers are made from.

    stored documents   ▭▭▭▭ ▭▭▭▭ ▭▭▭▭ ▭▭▭▭ ▭▭▭▭ ▭▭▭▭        blocks of `block_documents` contiguous ones
    window 0           block 4, block 1, block 0              drawn in the order that the seed names
    window 1           block 3, block 5, block 2              → lengths → rows

Guarantee: every document is drawn exactly once; a window that does not stream depends on nothing but its number, so
ranges of windows can be packed anywhere. Price: the arrays of one window (65,536 documents: ~10 MB), whatever the size
of the store.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from batchwright.foundation.permutation import KeyedPermutation
from batchwright.foundation.randomness import key
from batchwright.sequences.document_table import DocumentTable
from batchwright.sequences.packing import Packed, Packing


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Window:
    """`starts` and `lengths` of its documents, those that waited from the window before first, and their rows."""

    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    packed: Packed

    @property
    def laid_count(self) -> int:
        """Documents laid into rows here."""
        return self.lengths.shape[0] - self.packed.waiting.shape[0]

    @property
    def piece_starts(self) -> NDArray[np.int64]:
        """The token address of every piece's first token."""
        return self.starts[self.packed.document] + self.packed.begin


def window_count(packing: Packing, document_count: int) -> int:
    """How many windows these documents make."""
    blocks = -(-document_count // packing.block_documents)
    return -(-blocks // _blocks_per_window(packing))


def windows(
    packing: Packing, document_count: int, seed: int, *, first: int = 0, stop: int | None = None
) -> Iterator[NDArray[np.int64]]:
    """Which blocks of documents the windows first … stop - 1 draw: (blocks,) int64; all windows together, every block
    exactly once."""
    blocks = -(-document_count // packing.block_documents)
    per_window = _blocks_per_window(packing)
    order = KeyedPermutation(size=blocks, key=key(seed, "packing-blocks"))
    for number in range(first, window_count(packing, document_count) if stop is None else stop):
        begin = number * per_window
        count = min(per_window, blocks - begin)
        yield order.forward_range(begin, count) if packing.shuffled else np.arange(begin, begin + count, dtype=np.int64)


def packed_windows(
    table: DocumentTable,
    packing: Packing,
    sequence_length: int,
    seed: int,
    *,
    first: int = 0,
    stop: int | None = None,
) -> Iterator[Window]:
    """The windows first … stop - 1, packed. A packing that streams can only be packed from its first window on."""
    if packing.streams and first:
        raise ValueError("windows that flow into one another are packed from the first on")
    count = window_count(packing, table.document_count)
    held_starts, held_lengths = np.empty(0, np.int64), np.empty(0, np.int64)
    open_slots = 0
    for number, blocks in enumerate(windows(packing, table.document_count, seed, first=first, stop=stop), start=first):
        starts, lengths = table.read_blocks(blocks, packing.block_documents)
        if packing.streams:
            starts, lengths = np.concatenate([held_starts, starts]), np.concatenate([held_lengths, lengths])
            packed = packing.pack(lengths, sequence_length, open_slots=open_slots, last=number == count - 1)
            held_starts, held_lengths = starts[packed.waiting], lengths[packed.waiting]
            open_slots = packed.open_slots
        else:
            packed = packing.pack(lengths, sequence_length)
        yield Window(starts=starts, lengths=lengths, packed=packed)


def _blocks_per_window(packing: Packing) -> int:
    return packing.window_documents // packing.block_documents
