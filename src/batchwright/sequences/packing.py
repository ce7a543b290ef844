"""Packing: lengths of documents → rows of T slots. Pure functions; the policy is the dataclass that has the method.

A *piece* is (document, begin, length): the targets [begin, begin + length) of one document. The policies differ in
where documents are cut, in how many slots stay empty and in what they drop:

    lengths 5 3 9 2, T = 6    BestFit        Concatenate    BestFitTruncated    StartAligned (N = 2)
                              c c c c c c    a a a a a b    c c c c c c         a a a a a b      5, then 3 cropped to 1
    a = 5, b = 3,             a a a a a ·    b b c c c c    a a a a a ·         d d c c c c      2, then 9 cropped to 4
    c = 9, d = 2              b b b c c c    c c c c c d    b b b d d ·
                              d d · · · ·    d · · · · ·

    tokens without a start    3              8              0                   0
    dropped                   0              0              3                   7

Measured at T = 2,048 on documents of 800 tokens in the mean (`benchmarks.packing`): `BestFit`, the default, pads
0.004 % and cuts no document that fits into a row; `Concatenate` pads nothing and cuts 31 % of the documents;
`BestFitTruncated` drops 21 % of the tokens; `StartAligned` pads nothing, begins every row with a document and comes to
drop 38 % once its buffer is full of long documents. 20-150 ns per document.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from batchwright.foundation.errors import CorruptDataError, InputError, nearest
from batchwright.sequences.packing_loops import pack_best_fit, pack_concatenate
from batchwright.sequences.start_aligned import pack_start_aligned

LARGEST_SEQUENCE_LENGTH = 2**24
_LARGEST_WINDOW = 2**24


def _nothing() -> NDArray[np.int64]:
    return np.empty(0, np.int64)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Packed:
    """Pieces in row order. `row_first[k]` is the first piece of the k-th row that *begins* here: pieces before
    `row_first[0]` continue the row that was open. `open_slots` is how full the last row is left when the next window
    goes on filling it, else 0. `waiting` are documents that are not laid yet: the next window begins with them."""

    document: NDArray[np.int64]
    begin: NDArray[np.int64]
    length: NDArray[np.int32]
    row_first: NDArray[np.int64]
    open_slots: int = 0
    waiting: NDArray[np.int64] = field(default_factory=_nothing)


class Packing(Protocol):
    """A policy. Windows of `window_documents` are packed one by one; a window is made of blocks of `block_documents`
    contiguous documents, drawn in keyed order if `shuffled`, in stored order if not. `streams`: windows flow into one
    another (an open row, documents that wait); if not, each stands alone. `drops` is the reason under which tokens are
    dropped, None when nothing is."""

    shuffled: ClassVar[bool]
    streams: ClassVar[bool]
    drops: ClassVar[str | None]

    @property
    def window_documents(self) -> int: ...

    @property
    def block_documents(self) -> int: ...

    def pack(
        self, lengths: NDArray[np.int64], sequence_length: int, *, open_slots: int = 0, last: bool = True
    ) -> Packed:
        """Lay one window's documents; `open_slots` is what the window before left open, `last` that none follows."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """The policy by name, as JSON."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class BestFit:
    """Best-fit-decreasing, long documents split: full rows from their start and one remainder; everything else stays
    whole. Smaller blocks mix documents better, larger ones read faster from a cold disk."""

    shuffled: ClassVar[bool] = True
    streams: ClassVar[bool] = False
    drops: ClassVar[str | None] = None

    window_documents: int = 65_536
    block_documents: int = 64

    def __post_init__(self) -> None:
        _check_window(self.window_documents, self.block_documents)

    def pack(
        self, lengths: NDArray[np.int64], sequence_length: int, *, open_slots: int = 0, last: bool = True
    ) -> Packed:
        """Rows of this window alone: no row stays open."""
        check_sequence_length(sequence_length)
        document, begin, length, row_first = pack_best_fit(_checked(lengths), sequence_length)
        return Packed(document=document, begin=begin, length=length, row_first=row_first)

    def to_dict(self) -> dict[str, Any]:
        return {
            "policy": "best-fit",
            "window_documents": self.window_documents,
            "block_documents": self.block_documents,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class BestFitTruncated:
    """Best-fit-decreasing, documents cut off at T: what exceeds a row is dropped. The default of OLMo and TRL."""

    shuffled: ClassVar[bool] = True
    streams: ClassVar[bool] = False
    drops: ClassVar[str | None] = "truncated"

    window_documents: int = 65_536
    block_documents: int = 64

    def __post_init__(self) -> None:
        _check_window(self.window_documents, self.block_documents)

    def pack(
        self, lengths: NDArray[np.int64], sequence_length: int, *, open_slots: int = 0, last: bool = True
    ) -> Packed:
        """Rows of this window alone, every piece from its document's start."""
        check_sequence_length(sequence_length)
        shortened = np.minimum(_checked(lengths), sequence_length)
        document, begin, length, row_first = pack_best_fit(shortened, sequence_length)
        return Packed(document=document, begin=begin, length=length, row_first=row_first)

    def to_dict(self) -> dict[str, Any]:
        return {
            "policy": "best-fit-truncated",
            "window_documents": self.window_documents,
            "block_documents": self.block_documents,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class StartAligned:
    """Every row begins with a document's start and is full: of `buffer_documents` waiting, the largest that fits is
    laid, and when none fits the shortest, cropped to the room left. nanochat's.

    What is dropped grows along the stream: documents longer than T are laid only when nothing shorter waits, so the
    buffer fills up with them until every row crops one. The larger the buffer, the later that is.
    """

    shuffled: ClassVar[bool] = True
    streams: ClassVar[bool] = True
    drops: ClassVar[str | None] = "cropped"

    buffer_documents: int = 1_000
    block_documents: int = 64

    def __post_init__(self) -> None:
        if not 1 <= self.buffer_documents <= _LARGEST_WINDOW:
            raise InputError(
                f"a buffer of {self.buffer_documents:,} documents", remedy=f"from 1 to {_LARGEST_WINDOW:,}"
            )
        _check_window(self.window_documents, self.block_documents)

    @property
    def window_documents(self) -> int:
        """How many are read at a time; the rows do not depend on it."""
        return 65_536

    def pack(
        self, lengths: NDArray[np.int64], sequence_length: int, *, open_slots: int = 0, last: bool = True
    ) -> Packed:
        """Rows of one endless stream: the last row stays open, and the buffer waits for the next window."""
        check_sequence_length(sequence_length)
        document, length, row_first, left_open, waiting = pack_start_aligned(
            _checked(lengths), sequence_length, self.buffer_documents, open_slots, last
        )
        return Packed(
            document=document,
            begin=np.zeros_like(document),
            length=length,
            row_first=row_first,
            open_slots=int(left_open),
            waiting=waiting,
        )

    def to_dict(self) -> dict[str, Any]:
        return {
            "policy": "start-aligned",
            "buffer_documents": self.buffer_documents,
            "block_documents": self.block_documents,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Concatenate:
    """Documents end to end in stored order, cut every T tokens."""

    shuffled: ClassVar[bool] = False
    streams: ClassVar[bool] = True
    drops: ClassVar[str | None] = None

    @property
    def window_documents(self) -> int:
        return 65_536

    @property
    def block_documents(self) -> int:
        return 65_536

    def pack(
        self, lengths: NDArray[np.int64], sequence_length: int, *, open_slots: int = 0, last: bool = True
    ) -> Packed:
        """Rows of one endless stream: the last row stays open for the next window."""
        check_sequence_length(sequence_length)
        document, begin, length, row_first, left_open = pack_concatenate(_checked(lengths), sequence_length, open_slots)
        return Packed(document=document, begin=begin, length=length, row_first=row_first, open_slots=int(left_open))

    def to_dict(self) -> dict[str, Any]:
        return {"policy": "concatenate"}


POLICIES: dict[str, type[Packing]] = {
    "best-fit": BestFit,
    "concatenate": Concatenate,
    "best-fit-truncated": BestFitTruncated,
    "start-aligned": StartAligned,
}


def packing_from_dict(value: dict[str, Any]) -> Packing:
    """The policy that `to_dict` described. Raises InputError for a policy that this version does not know."""
    name = str(value.get("policy"))
    fields = {key: item for key, item in value.items() if key != "policy"}
    if name not in POLICIES:
        hint = nearest(name, POLICIES)
        raise InputError(
            f"unknown packing {value!r}",
            remedy=f"{f'did you mean {hint!r}? ' if hint else ''}known: {', '.join(POLICIES)}",
        )
    try:
        packing = POLICIES[name](**fields)
        if packing.to_dict() == value:
            return packing
    except TypeError:
        pass
    raise InputError(f"unknown packing {value!r}", remedy=f"{name!r} has other fields in this version")


def check_sequence_length(sequence_length: int) -> None:
    """Raises InputError unless 2 ≤ T ≤ 2**24."""
    if not 2 <= sequence_length <= LARGEST_SEQUENCE_LENGTH:
        raise InputError(
            f"a sequence of {sequence_length:,} tokens is not possible",
            remedy=f"choose a sequence length from 2 to {LARGEST_SEQUENCE_LENGTH:,}",
        )


def _check_window(window: int, block: int) -> None:
    if not 1 <= block <= window <= _LARGEST_WINDOW:
        raise InputError(
            f"a window of {window:,} documents in blocks of {block:,} cannot be cut",
            remedy=f"1 ≤ block_documents ≤ window_documents ≤ {_LARGEST_WINDOW:,}",
        )


def _checked(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Every stored document has at least its closing `<endoftext>`; the ends of a damaged file need not."""
    if lengths.size and int(lengths.min()) < 1:
        raise CorruptDataError("a document in the store ends before it begins")
    return np.ascontiguousarray(lengths, np.int64)
