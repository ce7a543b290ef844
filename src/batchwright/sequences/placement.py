"""Which targets of which document lie in which slots of which row: the sequence index read in both directions.

    row → segments        one slice of the index
    document → segments   the index lists segments by row, so this reads all segments' first targets, 8 bytes each

Guarantee: together they are one relation (a test builds it from every row and looks up every document), and what is
read was checked against its checksums. Price: microseconds for a row; for a document ~0.06 CPU-s per 10⁸ segments and,
once per process, their checksums (~0.05 s more), in memory that does not grow; so no inverse index is kept on disk.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from batchwright.foundation.compiled import hot_loop
from batchwright.foundation.errors import CorruptDataError, InputError
from batchwright.sequences.index import SequenceIndex

_BLOCK_SEGMENTS = 4096
_FIRST_ROOM = 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class PlacedSegment:
    """Targets [first_token, first_token + length) of a document, in slots [slot, slot + length) of a row. Tokens of a
    document count from 0; the last one is its `<endoftext>`."""

    row: int
    slot: int
    length: int
    document: int
    first_token: int

    @property
    def stop_slot(self) -> int:
        return self.slot + self.length

    @property
    def stop_token(self) -> int:
        return self.first_token + self.length


def segments_of_row(index: SequenceIndex, row: int) -> tuple[PlacedSegment, ...]:
    """A row's segments in order; the slots after the last are padding."""
    if not 0 <= row < index.row_count:
        raise InputError(f"there is no row {row:,}; the index has {index.row_count:,}")
    starts, lengths = index.segments_of(row)
    documents = index.document_table.documents_at(starts)
    firsts, _ = index.document_table.read_blocks(documents, 1)
    slots = np.cumsum(lengths, dtype=np.int64) - lengths
    return tuple(
        PlacedSegment(row=row, slot=slot, length=length, document=document, first_token=token)
        for slot, length, document, token in zip(
            slots.tolist(), lengths.tolist(), documents.tolist(), (starts - firsts).tolist(), strict=True
        )
    )


def segments_of_document(index: SequenceIndex, document: int) -> tuple[PlacedSegment, ...]:
    """Every segment of a document, in the order of its tokens; none when the packing dropped it."""
    table = index.document_table
    if not 0 <= document < table.document_count:
        raise InputError(f"there is no document {document:,}; this split has {table.document_count:,}")
    firsts, lengths = table.read_blocks(np.array([document]), 1)
    if table.documents_at(firsts)[0] != document:  # which also checks the ends it reads
        raise CorruptDataError(f"document {document:,} begins in another one", where=str(index.stored.directory))
    index.starts.check(0, index.starts.count)
    segments = _starting_within(index.starts.array, int(firsts[0]), int(firsts[0] + lengths[0]))
    rows = np.searchsorted(index.row_firsts.array, segments, "right") - 1
    placed = [
        segment
        for row in np.unique(rows).tolist()
        for segment in segments_of_row(index, row)
        if segment.document == document
    ]
    if len(placed) != segments.shape[0]:
        raise CorruptDataError(
            f"document {document:,} has {segments.shape[0]:,} segments, their rows hold {len(placed):,}",
            where=str(index.directory),
            remedy="delete this directory; it is built again from the store",
        )
    return tuple(sorted(placed, key=lambda segment: segment.first_token))


def _starting_within(starts: NDArray[np.int64], first: int, stop: int) -> NDArray[np.int64]:
    """Numbers of the segments whose first target has an address in [first, stop)."""
    out = np.empty(_FIRST_ROOM, np.int64)
    found = scan_starts(starts, first, stop, out)
    if found > out.shape[0]:
        out = np.empty(found, np.int64)
        scan_starts(starts, first, stop, out)
    return out[:found]


@hot_loop
def scan_starts(starts: NDArray[np.int64], first: int, stop: int, out: NDArray[np.int64]) -> int:
    """How many of `starts` lie in [first, stop); where they stand goes to `out` as far as it has room.

    Two loops: counting a block compares without a branch, so it runs at the memory's speed, and a block with a hit
    is the exception."""
    found = 0
    span = np.uint64(stop - first)
    for begin in range(0, starts.shape[0], _BLOCK_SEGMENTS):
        part = starts[begin : begin + _BLOCK_SEGMENTS]
        hits = 0
        for i in range(part.shape[0]):
            hits += np.uint64(part[i] - first) < span
        if hits:
            for i in range(part.shape[0]):
                if np.uint64(part[i] - first) < span:
                    if found < out.shape[0]:
                        out[found] = begin + i
                    found += 1
    return found
