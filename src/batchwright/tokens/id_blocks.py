"""Documents that are ids already, block by block: checked, closed by <endoftext>, named.

    block      a a a ␃ b b | c c c | ␃        a document may be closed already, or be empty
    closed     a a a ␃ | b b ␃ | c c c ␃      empty ones are dropped; the caller counts

Guarantee: an id outside the vocabulary, or an <endoftext> that is not a document's last id, is an InputError that
names the document, the id and its place; no id is cast before it was compared. A document's name is the xxh3-128 of its
ids as <u4, the closing <endoftext> not among them. Price: ~1 µs per document and ~5 ns per id.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from batchwright.foundation.errors import InputError
from batchwright.tokens.partial import close_documents
from batchwright.tokens.shard import MASK_DTYPE, dtype_for


@dataclass(frozen=True, kw_only=True, eq=False)
class IdBlock:
    """Neighbouring documents of one file: document d of the block is `ids[offsets[d] : offsets[d + 1]]`.

    ids      (N,) of any integer dtype; may lie in a memory map
    offsets  (n + 1,) int64, from 0 to N
    places   (n,) int64 where each document begins in its file: an item, or a row of parquet
    first    number of the block's first document in its file
    mask     (N,) bool or 0/1, 1 where the id is meant as a target; None: all are
    """

    ids: NDArray[Any]
    offsets: NDArray[np.int64]
    places: NDArray[np.int64]
    first: int
    mask: NDArray[Any] | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class ClosedBlock:
    """The documents of a block that are not empty, each closed by <endoftext>."""

    ids: NDArray[Any]
    ends: NDArray[np.int64]
    names: NDArray[np.uint8]
    places: NDArray[np.int64]
    mask: NDArray[np.uint8] | None
    empty: int
    closed_here: int


@dataclass(frozen=True, kw_only=True)
class GivenIds:
    """What is known of ids that come from elsewhere: their vocabulary, and whether loss masks come with them."""

    vocabulary_size: int
    eot_id: int
    masked: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.eot_id < self.vocabulary_size:
            raise InputError(
                f"the end-of-text id {self.eot_id:,} is outside a vocabulary of {self.vocabulary_size:,} ids",
                remedy="vocabulary size = one more than the highest id, specials included",
            )

    @property
    def dtype(self) -> np.dtype[Any]:
        """The items of the store."""
        return dtype_for(self.vocabulary_size)

    def close(self, block: IdBlock, where: str) -> ClosedBlock:
        """Check a block and close its documents. Raises InputError."""
        before, lengths = block.offsets[:-1], np.diff(block.offsets)
        self.check(block.ids, block, 0, where)
        is_eot = block.ids == self.eot_id
        filled = lengths > 0
        closed = np.zeros(lengths.shape[0], np.int64)
        closed[filled] = is_eot[block.offsets[1:][filled] - 1]
        if int(np.count_nonzero(is_eot)) != int(closed.sum()):
            is_last = np.zeros(block.ids.shape[0], np.bool_)
            is_last[block.offsets[1:][filled] - 1] = True
            self._refuse_inner_eot(int(np.flatnonzero(is_eot & ~is_last)[0]), block, where)
        of_text = ~is_eot
        content = np.asarray(block.ids[of_text])
        kept = lengths - closed > 0
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum((lengths - closed)[kept], dtype=np.int64)])
        ids, ends = close_documents(content, offsets, self.eot_id, self.dtype)
        return ClosedBlock(
            ids=ids,
            ends=ends,
            names=names_of(content, offsets),
            places=block.places[kept],
            mask=self._closed_mask(block, of_text, before[kept], (lengths - 1)[kept], offsets) if self.masked else None,
            empty=int(np.count_nonzero(~kept)),
            closed_here=int(np.count_nonzero(kept & (closed == 0))),
        )

    def check(self, ids: NDArray[Any], block: IdBlock, first: int, where: str) -> None:
        """`ids` are the block's from item `first` on. Raises InputError naming the first that is no id."""
        if ids.shape[0] == 0 or (int(ids.min()) >= 0 and int(ids.max()) < self.vocabulary_size):
            return
        item = int(np.flatnonzero((ids < 0) | (ids >= self.vocabulary_size))[0])
        document, place = _place(block, first + item)
        raise InputError(
            f"document {document:,} holds the id {int(ids[item]):,} at its item {place:,}; "
            f"the vocabulary has {self.vocabulary_size:,} ids, from 0",
            where=where,
            remedy="name the vocabulary (or its size) that these ids were made with",
        )

    def check_open(self, ids: NDArray[Any], block: IdBlock, first: int, where: str) -> None:
        """No <endoftext> among these ids, which stand inside a document. Raises InputError."""
        found = np.flatnonzero(ids == self.eot_id)
        if found.shape[0]:
            self._refuse_inner_eot(first + int(found[0]), block, where)

    def _refuse_inner_eot(self, item: int, block: IdBlock, where: str) -> None:
        document, place = _place(block, item)
        raise InputError(
            f"document {document:,} holds the end-of-text id {self.eot_id:,} inside, at its item {place:,}; "
            "a store has it only where a document ends",
            where=where,
            remedy="name the id that ends documents there, or split these documents before they are imported",
        )

    def _closed_mask(
        self,
        block: IdBlock,
        of_text: NDArray[np.bool_],
        begins: NDArray[np.int64],
        lasts: NDArray[np.int64],
        offsets: NDArray[np.int64],
    ) -> NDArray[np.uint8]:
        """The mask of the closed documents. An <endoftext> that we add is a target where the id before it is one."""
        given = np.ones(block.ids.shape[0], MASK_DTYPE) if block.mask is None else block.mask.astype(MASK_DTYPE)
        mask, ends = close_documents(given[of_text], offsets, 1, MASK_DTYPE)
        mask[ends - 1] = given[begins + lasts]
        return mask


def names_of(content: NDArray[Any], offsets: NDArray[np.int64]) -> NDArray[np.uint8]:
    """(n, 16) u1: the name of each document."""
    view, digest = content.astype("<u4").view(np.uint8).data, xxhash.xxh3_128_digest
    cuts = (offsets * 4).tolist()
    joined = b"".join(digest(view[a:b]) for a, b in pairwise(cuts))
    return np.frombuffer(joined, np.uint8).reshape(-1, 16)


def _place(block: IdBlock, item: int) -> tuple[int, int]:
    """(number of the document in its file, item within it) of an item of the block."""
    document = int(np.searchsorted(block.offsets, item, "right")) - 1
    return block.first + document, item - int(block.offsets[document])
