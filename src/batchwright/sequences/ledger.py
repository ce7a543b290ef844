"""The ledger of an epoch: where every stored token and every slot of every row went.

    stored = targets + masked + dropped (by reason)          slots = rows · T = targets + masked + padding

Guarantee: both sides of both equations are counted apart (documents' lengths against pieces laid, rows against how full
each became, targets of pieces against those that the loss masks name), and a ledger that does not close is an error,
never a rounded figure. Ledgers of parts add up. Price: ~10 ns per document.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from batchwright.foundation.compiled import hot_loop
from batchwright.foundation.errors import CorruptDataError
from batchwright.sequences.loss_masks import LossMasks
from batchwright.sequences.packing import Packed, Packing
from batchwright.sequences.stored_tokens import StoredTokens

_COUNTED = 11
_OVERFULL = -1
_SUMS = (
    "documents",
    "documents_cut",
    "documents_cut_needlessly",
    "stored",
    "targets",
    "masked",
    "targets_without_start",
    "rows",
    "segments",
    "padding",
)


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """Counts of one epoch, or of a part of it.

    documents_cut             documents that do not lie in one piece, whole
    documents_cut_needlessly  of these, documents that would fit into a row of their own
    masked                    tokens laid into rows that a loss mask leaves out of the targets; all dropped are dropped
    targets_without_start     targets whose row does not hold the beginning of their document
    """

    sequence_length: int
    documents: int = 0
    documents_cut: int = 0
    documents_cut_needlessly: int = 0
    stored: int = 0
    targets: int = 0
    masked: int = 0
    targets_without_start: int = 0
    rows: int = 0
    segments: int = 0
    padding: int = 0
    dropped: dict[str, int] = field(default_factory=dict[str, int])

    @property
    def slots(self) -> int:
        return self.rows * self.sequence_length

    @property
    def dropped_count(self) -> int:
        """Dropped tokens, all reasons together."""
        return sum(self.dropped.values())

    def __add__(self, other: "Ledger") -> "Ledger":
        if self.sequence_length != other.sequence_length:
            raise ValueError(f"ledgers of rows of {self.sequence_length:,} and {other.sequence_length:,} slots")
        reasons = sorted(self.dropped.keys() | other.dropped.keys())
        return Ledger(
            sequence_length=self.sequence_length,
            dropped={reason: self.dropped.get(reason, 0) + other.dropped.get(reason, 0) for reason in reasons},
            **{name: getattr(self, name) + getattr(other, name) for name in _SUMS},
        )

    def check(self) -> None:
        """Raises CorruptDataError unless both equations hold."""
        laid = self.targets + self.masked
        if self.stored != laid + self.dropped_count or min(self.masked, self.targets, *self.dropped.values(), 0) < 0:
            raise CorruptDataError(
                f"the ledger of tokens does not close: {self.stored:,} stored, {self.targets:,} targets, "
                f"{self.masked:,} masked, dropped {self.dropped}"
            )
        if self.slots != laid + self.padding:
            raise CorruptDataError(
                f"the ledger of slots does not close: {self.slots:,} slots, {self.targets:,} targets, "
                f"{self.masked:,} masked, {self.padding:,} empty"
            )

    def check_against(self, stored: StoredTokens, masks: LossMasks | None = None) -> None:
        """`check`; the documents packed are those that the store's manifest counts, and the targets those that its
        masks name, less what is dropped. Raises CorruptDataError."""
        self.check()
        if (self.documents, self.stored) != (stored.document_count, stored.token_count):
            raise CorruptDataError(
                f"{self.documents:,} documents hold {self.stored:,} tokens; the store's manifest says "
                f"{stored.document_count:,} and {stored.token_count:,}",
                where=str(stored.directory),
            )
        named = stored.token_count if masks is None else masks.target_count
        if not named - self.dropped_count <= self.targets <= named:
            raise CorruptDataError(
                f"the rows hold {self.targets:,} targets; the loss masks name {named:,}, {self.dropped_count:,} tokens "
                "are dropped",
                where=str(stored.directory),
            )

    def to_dict(self) -> dict[str, Any]:
        """As JSON; `from_dict` reads it back."""
        counts: dict[str, Any] = {name: getattr(self, name) for name in _SUMS}
        return {**counts, "sequence_length": self.sequence_length, "slots": self.slots, "dropped": dict(self.dropped)}

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> "Ledger":
        return cls(**{name: item for name, item in value.items() if name != "slots"})


class Bookkeeper:
    """Keeps the ledger while windows are packed one after another."""

    def __init__(self, packing: Packing, sequence_length: int) -> None:
        self._reason = packing.drops
        self._sequence_length = sequence_length
        self._filled = 0  # of the row begun last, 0 when it is full
        self._total = np.zeros(_COUNTED, np.int64)

    def enter(self, lengths: NDArray[np.int64], packed: Packed, targets: NDArray[np.int32] | None = None) -> None:
        """A window: its documents, where they were laid, and how many targets each piece has (None: all it holds)."""
        waits = np.zeros(lengths.shape[0], np.bool_)
        waits[packed.waiting] = True
        self._filled = _count(
            lengths,
            waits,
            packed.document,
            packed.begin,
            packed.length,
            packed.length if targets is None else targets,
            packed.row_first,
            self._sequence_length,
            self._filled,
            self._total,
        )
        if self._filled == _OVERFULL:
            raise CorruptDataError(f"a row was packed with more than its {self._sequence_length:,} tokens")

    def ledger(self) -> Ledger:
        """Of all windows entered, as if the row begun last were padded now."""
        documents, cut, needlessly, stored, missing, targets, masked, orphans, rows, segments, padding = (
            self._total.tolist()
        )
        if missing and self._reason is None:
            raise CorruptDataError(f"{missing:,} tokens were laid into no row by a packing that drops nothing")
        return Ledger(
            sequence_length=self._sequence_length,
            documents=documents,
            documents_cut=cut,
            documents_cut_needlessly=needlessly,
            stored=stored,
            targets=targets,
            masked=masked,
            targets_without_start=orphans,
            rows=rows,
            segments=segments,
            padding=padding + (self._sequence_length - self._filled if self._filled else 0),
            dropped={} if self._reason is None else {self._reason: missing},
        )


@hot_loop
def _count(
    lengths: NDArray[np.int64],
    waits: NDArray[np.bool_],
    document: NDArray[np.int64],
    begin: NDArray[np.int64],
    length: NDArray[np.int32],
    weighing: NDArray[np.int32],
    row_first: NDArray[np.int64],
    sequence_length: int,
    filled: int,
    total: NDArray[np.int64],
) -> int:
    """Add a window to `total`; how full the row begun last is (0: full), or `_OVERFULL`."""
    laid = np.zeros(lengths.shape[0], np.int64)
    pieces = np.zeros(lengths.shape[0], np.int32)
    targets = masked = orphans = padding = row = 0
    for k in range(document.shape[0]):
        if row < row_first.shape[0] and row_first[row] == k:
            padding += sequence_length - filled if filled else 0
            filled = 0
            row += 1
        filled += length[k]
        targets += weighing[k]
        masked += length[k] - weighing[k]
        if begin[k] > 0:
            orphans += weighing[k]
        laid[document[k]] += length[k]
        pieces[document[k]] += 1
        if filled > sequence_length:
            return _OVERFULL
        if filled == sequence_length:
            filled = 0
    documents = cut = needlessly = stored = missing = 0
    for i in range(lengths.shape[0]):
        if waits[i]:
            continue
        documents += 1
        stored += lengths[i]
        missing += lengths[i] - laid[i]
        if pieces[i] != 1 or laid[i] != lengths[i]:
            cut += 1
            if lengths[i] <= sequence_length:
                needlessly += 1
    counted = (documents, cut, needlessly, stored, missing, targets, masked, orphans, row, document.shape[0], padding)
    for n in range(len(counted)):
        total[n] += counted[n]
    return filled
