"""Windows of packed rows → the four array files of an index, or of a part of one.

Guarantee: rows that stay open over windows are one row; the ledger of what was written comes with it, closed. Price:
what the files weigh, written once, in appends of one window.
"""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from batchwright.foundation.array_file import ArrayFileWriter
from batchwright.sequences.index import FILES
from batchwright.sequences.ledger import Bookkeeper, Ledger
from batchwright.sequences.loss_masks import LossMasks
from batchwright.sequences.packing import Packing
from batchwright.sequences.windows import Window

PathOf = Callable[[str], Path]


class RowWriter:
    """Appends windows to the four files; the targets of a row are known when the next one begins."""

    def __init__(self, path_of: PathOf, stack: ExitStack) -> None:
        self._files = {
            name: stack.enter_context(ArrayFileWriter(path_of(name), kind, dtype))
            for name, (kind, dtype) in FILES.items()
        }
        self._targets = 0
        self._row_starts = np.empty(0, np.int64)  # of the row begun last, in targets

    def append(
        self,
        starts: NDArray[np.int64],
        lengths: NDArray[np.int32],
        targets: NDArray[np.int32],
        row_first: NDArray[np.int64],
    ) -> None:
        """Segments in row order, with the targets of each; `row_first` are the segments, of these, at which rows
        begin."""
        before = np.concatenate([np.zeros(1, np.int64), np.cumsum(targets, dtype=np.int64)]) + self._targets
        begun = np.concatenate([self._row_starts, before[row_first]])
        self._append("rows.first", row_first + self._files["segments.start"].count)
        self._append("rows.targets", np.diff(begun).astype(np.int32))
        self._append("segments.start", starts)
        self._append("segments.length", lengths)
        self._targets = int(before[-1])
        self._row_starts = begun[-1:]

    def close(self) -> None:
        """End the last row."""
        self._append("rows.targets", (self._targets - self._row_starts).astype(np.int32))
        self._append("rows.first", np.array([self._files["segments.start"].count], np.int64))

    def _append(self, name: str, values: NDArray[Any]) -> None:
        self._files[name].append(values)


def write_rows(
    path_of: PathOf,
    packing: Packing,
    sequence_length: int,
    windows: Iterable[Window],
    masks: LossMasks | None,
    done: Callable[[int], None],
) -> Ledger:
    """Write these windows; `path_of` gives each file's place, `done` hears how many documents are laid so far."""
    books = Bookkeeper(packing, sequence_length)
    laid = 0
    with ExitStack() as stack:
        writer = RowWriter(path_of, stack)
        for window in windows:
            packed = window.packed
            starts = window.piece_starts
            targets = packed.length if masks is None else masks.targets_in(starts, packed.length)
            books.enter(window.lengths, packed, targets)
            writer.append(starts, packed.length, targets, packed.row_first)
            laid += window.laid_count
            done(laid)
        writer.close()
        ledger = books.ledger()
        ledger.check()
    return ledger
