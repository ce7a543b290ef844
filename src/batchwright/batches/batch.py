"""One micro-batch: (B, T) ids with everything a model, a loss or a curious person needs to know about each slot.

A batch is a view of buffers that are written again later; the loader says when. Whoever keeps one longer copies it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from batchwright.foundation.errors import InputError
from batchwright.sequences.index import SequenceIndex


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Batch:
    """Shapes: B rows of T slots.

    inputs, targets  (B, T) ids; targets[b, t] is the token that follows inputs[b, t] in its document
    loss_mask        (B, T) bool; True where the slot is a target, False in padding and filler rows and where the loss
                     mask of the store leaves the token out (it is laid, and read as an input, all the same)
    position_ids     (B, T) int32; 0, 1, 2 … in every segment, padding is a segment of its own
    cu_seqlens       (B·T + 1,) int32; ends of the segments in the flattened B·T slots, from 0; only the first
                     segment_count + 1 entries count, the others repeat B·T (so the whole array is valid too)
    max_seqlen       slots of the longest segment
    positions        (B,) int64 place of each row in the global order, -1 for filler
    streams          (B,) int64 which of `indexes` each row is of, -1 for filler (see `Timeline.streams`)
    rows, epochs     (B,) int64 row of that sequence index and its epoch, -1 for filler
    target_count     targets in this micro-batch
    certificate      Σ xxh3 of the rows (see `certificate`); 0 where none was asked for
    """

    inputs: NDArray[np.integer]
    targets: NDArray[np.integer]
    loss_mask: NDArray[np.bool_]
    position_ids: NDArray[np.int32]
    cu_seqlens: NDArray[np.int32]
    segment_count: int
    max_seqlen: int
    positions: NDArray[np.int64]
    streams: NDArray[np.int64]
    rows: NDArray[np.int64]
    epochs: NDArray[np.int64]
    target_count: int
    indexes: tuple[SequenceIndex, ...]
    certificate: int = 0

    @property
    def shape(self) -> tuple[int, int]:
        """(B, T)."""
        rows, slots = self.inputs.shape
        return rows, slots

    @property
    def index(self) -> SequenceIndex:
        """The only index. Raises InputError when rows of several may occur: `indexes[streams[b]]` is that of row b."""
        if len(self.indexes) != 1:
            raise InputError(f"a batch over {len(self.indexes)} sources has no single index", remedy="batch.indexes")
        return self.indexes[0]

    @property
    def row_count(self) -> int:
        """Rows that are not filler; they come first."""
        return int(np.count_nonzero(self.rows >= 0))

    @property
    def epoch(self) -> int:
        """Epoch of the first row; -1 when all rows are filler. A batch may end in the next epoch: see `epochs`."""
        return int(self.epochs[0])

    @property
    def segment_ends(self) -> NDArray[np.int32]:
        """(segment_count + 1,) int32: the entries of cu_seqlens that count."""
        return self.cu_seqlens[: self.segment_count + 1]

    @property
    def documents(self) -> NDArray[np.int64]:
        """(B, T) int64: number of the document, in the split of its source, that each slot's next token belongs to,
        masked or not; -1 in padding. Computed when asked for, ~10 µs per row."""
        out = np.full(self.shape, -1, np.int64)
        for b in range(self.row_count):
            index, row = self.indexes[int(self.streams[b])], int(self.rows[b])
            starts, lengths = index.segments_of(row)
            laid = np.repeat(index.document_table.documents_at(starts), lengths)
            out[b, : laid.shape[0]] = laid
        return out
