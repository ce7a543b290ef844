"""Packing: lengths of documents → rows of T slots. Pure functions; the policy is the dataclass that has the method.

A *piece* is (document, begin, length): the targets [begin, begin + length) of one document. Every policy here lays
every token of every document into exactly one piece, so nothing is dropped; what differs is where documents are cut and
how many slots stay empty.

    lengths 5 3 9 2, T = 6                BestFit                    Concatenate
                                          row 0  c c c c c c         row 0  a a a a a b
    a = 5, b = 3, c = 9, d = 2            row 1  a a a a a ·         row 1  b b c c c c
                                          row 2  b b b c c c         row 2  c c c c c d
                                          row 3  d d · · · ·         row 3  d · · · · ·

`BestFit` (the default): documents longer than T give full rows from their start and one remainder; everything else
stays whole, best-fit-decreasing within a window. Padding ~0.004 % (window of 65,536 documents of ~800 tokens,
T = 2,048), no needless cut. `Concatenate`: no padding but in the last row, documents cut wherever a row ends (~31 % of
them). Both cost ~20–50 ns per document.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from batchwright.foundation.errors import CorruptDataError, InputError
from batchwright.sequences.packing_loops import pack_best_fit, pack_concatenate

LARGEST_SEQUENCE_LENGTH = 2**24


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Packed:
    """Pieces in row order. `row_first[k]` is the first piece of the k-th row that *begins* here: pieces before
    `row_first[0]` continue the row that was open. `open_slots` is how full the last row is left when the next window
    goes on filling it, else 0."""

    document: NDArray[np.int64]
    begin: NDArray[np.int64]
    length: NDArray[np.int32]
    row_first: NDArray[np.int64]
    open_slots: int


class Packing(Protocol):
    """A policy. Windows of `window_documents` are packed one by one; a window is made of blocks of `block_documents`
    contiguous documents, drawn in keyed order if `shuffled`, in stored order if not."""

    @property
    def window_documents(self) -> int: ...

    @property
    def block_documents(self) -> int: ...

    @property
    def shuffled(self) -> bool: ...

    def pack(self, lengths: NDArray[np.int64], sequence_length: int, *, open_slots: int = 0) -> Packed:
        """Lay one window's documents; `open_slots` is what the window before left open."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """The policy by name, as JSON."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class BestFit:
    """Best-fit-decreasing, long documents split. Smaller blocks mix documents better, larger ones read faster from a
    cold disk."""

    window_documents: int = 65_536
    block_documents: int = 64

    def __post_init__(self) -> None:
        if not 1 <= self.block_documents <= self.window_documents <= 2**24:
            raise InputError(
                f"a window of {self.window_documents:,} documents in blocks of {self.block_documents:,} cannot be cut",
                remedy="1 ≤ block_documents ≤ window_documents ≤ 16,777,216",
            )

    @property
    def shuffled(self) -> bool:
        return True

    def pack(self, lengths: NDArray[np.int64], sequence_length: int, *, open_slots: int = 0) -> Packed:
        """Rows of this window alone: no row stays open."""
        check_sequence_length(sequence_length)
        document, begin, length, row_first = pack_best_fit(_checked(lengths), sequence_length)
        return Packed(document=document, begin=begin, length=length, row_first=row_first, open_slots=0)

    def to_dict(self) -> dict[str, Any]:
        return {
            "policy": "best-fit",
            "window_documents": self.window_documents,
            "block_documents": self.block_documents,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Concatenate:
    """Documents end to end in stored order, cut every T tokens."""

    @property
    def window_documents(self) -> int:
        return 65_536

    @property
    def block_documents(self) -> int:
        return 65_536

    @property
    def shuffled(self) -> bool:
        return False

    def pack(self, lengths: NDArray[np.int64], sequence_length: int, *, open_slots: int = 0) -> Packed:
        """Rows of one endless stream: the last row stays open for the next window."""
        check_sequence_length(sequence_length)
        document, begin, length, row_first, left_open = pack_concatenate(_checked(lengths), sequence_length, open_slots)
        return Packed(document=document, begin=begin, length=length, row_first=row_first, open_slots=int(left_open))

    def to_dict(self) -> dict[str, Any]:
        return {"policy": "concatenate"}


def packing_from_dict(value: dict[str, Any]) -> Packing:
    """The policy that `to_dict` described. Raises InputError for a policy that this version does not know."""
    fields = {name: item for name, item in value.items() if name != "policy"}
    match value.get("policy"), fields:
        case "best-fit", {"window_documents": int(window), "block_documents": int(block), **rest} if not rest:
            return BestFit(window_documents=window, block_documents=block)
        case "concatenate", rest if not rest:
            return Concatenate()
        case _:
            raise InputError(f"unknown packing {value!r}", remedy='"best-fit" or "concatenate"')


def check_sequence_length(sequence_length: int) -> None:
    """Raises InputError unless 2 ≤ T ≤ 2**24."""
    if not 2 <= sequence_length <= LARGEST_SEQUENCE_LENGTH:
        raise InputError(
            f"a sequence of {sequence_length:,} tokens is not possible",
            remedy=f"choose a sequence length from 2 to {LARGEST_SEQUENCE_LENGTH:,}",
        )


def _checked(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Every stored document has at least its closing `<endoftext>`; the ends of a damaged file need not."""
    if lengths.size and int(lengths.min()) < 1:
        raise CorruptDataError("a document in the store ends before it begins")
    return np.ascontiguousarray(lengths, np.int64)
