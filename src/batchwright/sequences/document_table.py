"""Where the documents of a split lie: document number ↔ token addresses, over all shards.

Price: no memory beyond the result; ~2 ns per document read, plus what the disk costs (8 bytes per document, contiguous
within a block). Documents are numbered through the split, shard after shard.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from batchwright.foundation.array_file import ArrayFile
from batchwright.foundation.compiled import hot_loop
from batchwright.foundation.errors import CorruptDataError, InputError
from batchwright.sequences.address_table import AddressTable, array_at, view_at
from batchwright.sequences.stored_tokens import StoredTokens


@hot_loop
def _read_blocks(
    addresses: NDArray[np.int64],
    document_firsts: NDArray[np.int64],
    token_firsts: NDArray[np.int64],
    like: NDArray[Any],
    blocks: NDArray[np.int64],
    block_documents: int,
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
) -> int:
    total = document_firsts[document_firsts.shape[0] - 1]
    filled = 0
    for k in range(blocks.shape[0]):
        document = blocks[k] * block_documents
        stop = min(document + block_documents, total)
        while document < stop:
            shard = array_at(document_firsts, document)
            first = document - document_firsts[shard]
            count = min(stop, document_firsts[shard + 1]) - document
            ends = view_at(addresses[shard], first, count, like)
            begin = view_at(addresses[shard], first - 1, 1, like)[0] if first > 0 else 1
            for i in range(count):
                starts[filled] = token_firsts[shard] + begin
                lengths[filled] = ends[i] - begin
                begin = ends[i]
                filled += 1
            document += count
    return filled


@hot_loop
def _documents_at(
    addresses: NDArray[np.int64],
    document_firsts: NDArray[np.int64],
    token_firsts: NDArray[np.int64],
    like: NDArray[Any],
    places: NDArray[np.int64],
    out: NDArray[np.int64],
) -> None:
    for k in range(places.shape[0]):
        shard = array_at(token_firsts, places[k])
        count = document_firsts[shard + 1] - document_firsts[shard]
        ends = view_at(addresses[shard], 0, count, like)
        out[k] = document_firsts[shard] + np.searchsorted(ends, places[k] - token_firsts[shard], "right")


class DocumentTable:
    """The ends of a split's documents, checked once, as starts and lengths in token addresses.

    `ends` are the shards' files of document ends, `token_counts` the items of their payloads, guards included.
    """

    def __init__(self, ends: Sequence[ArrayFile], token_counts: Sequence[int]) -> None:
        self.files = tuple(ends)
        self.token_counts = tuple(token_counts)
        self._ends = AddressTable.of([file.array for file in self.files])
        self._token_firsts = np.zeros(len(self.files) + 1, np.int64)
        np.cumsum(self.token_counts, out=self._token_firsts[1:])
        self.document_count = int(self._ends.firsts[-1])
        self._check_ends()

    @classmethod
    def of(cls, stored: StoredTokens) -> "DocumentTable":
        """The table of a split. Raises InputError when it is empty."""
        if not stored.shards or stored.document_count == 0:
            raise InputError(
                f"the split {stored.split!r} of this store holds no documents",
                where=str(stored.directory),
                remedy="choose another split, or prepare the store with a larger validation fraction",
            )
        return cls([shard.documents for shard in stored.shards], [shard.tokens.count for shard in stored.shards])

    def verify(self) -> None:
        """Read and check all document ends, 8 bytes each. Raises CorruptDataError."""
        for file in self.files:
            file.verify()

    def _check_ends(self) -> None:
        """The last end of every shard is its payload's end, or the two files do not belong together."""
        for file, tokens in zip(self.files, self.token_counts, strict=True):
            if file.count and int(file.array[-1]) != tokens:
                raise CorruptDataError(
                    f"the documents end at item {int(file.array[-1]):,}, the tokens at {tokens:,}",
                    where=str(file.path),
                )

    def read_blocks(
        self, blocks: NDArray[np.int64], block_documents: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(starts, lengths) of the documents of these blocks, one after another; block k holds the documents
        [k · block_documents, (k + 1) · block_documents)."""
        room = blocks.shape[0] * block_documents
        starts, lengths = np.empty(room, np.int64), np.empty(room, np.int64)
        ends = self._ends
        filled = _read_blocks(
            ends.addresses, ends.firsts, self._token_firsts, ends.like, blocks, block_documents, starts, lengths
        )
        return starts[:filled], lengths[:filled]

    def documents_at(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """(N,) token addresses → (N,) document numbers. The ends of a shard are checked when first asked for."""
        for shard in np.unique(np.searchsorted(self._token_firsts, places, "right") - 1):
            ends = self.files[int(shard)]
            if ends.unchecked.any():
                ends.check(0, ends.count)
        out = np.empty(places.shape[0], np.int64)
        table = self._ends
        _documents_at(table.addresses, table.firsts, self._token_firsts, table.like, places, out)
        return out
