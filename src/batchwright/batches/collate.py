"""Rows → Batch: the bridge between a sequence index and the gathering loop.

Guarantee: every MiB of tokens and index that a batch touches has had its checksum verified in this process before it is
used (once: ~60 µs per MiB, so the first pass over a store costs one reading of it); a damaged one is a CorruptDataError
with file and bytes, never a wrong batch. Price after that: ~10 µs per batch and the loop.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from batchwright.batches.batch import Batch
from batchwright.batches.buffers import BatchArrays
from batchwright.batches.certificate import Certifier
from batchwright.batches.gather import COMPLETE, RowTable, StoredIds, lay_rows
from batchwright.foundation.array_file import ArrayFile
from batchwright.foundation.errors import CorruptDataError
from batchwright.sequences.address_table import AddressTable
from batchwright.sequences.index import SequenceIndex

# Places that a cold disk is asked for at once: at most so many MiB, half of them read while the others are hashed.
_READ_TOGETHER = 64


class Collator:
    """Builds batches of one sequence index. Holds no state: any rows, any time, any thread (one per buffers)."""

    def __init__(self, index: SequenceIndex) -> None:
        self.index = index
        self._shards = tuple(shard.tokens for shard in index.stored.shards)
        self._payloads = AddressTable.of([file.array for file in self._shards])
        self._flags = AddressTable.of([file.unchecked for file in self._shards])
        self._ids = StoredIds(
            addresses=self._payloads.addresses,
            firsts=self._payloads.firsts,
            unchecked=self._flags.addresses,
            like=self._payloads.like,
            flags_like=self._flags.like,
        )
        self._table = RowTable(
            row_firsts=index.row_firsts.array,
            starts=index.starts.array,
            lengths=index.lengths.array,
            unchecked_rows=index.row_firsts.unchecked,
            unchecked_starts=index.starts.unchecked,
            unchecked_lengths=index.lengths.unchecked,
        )

    def collate(
        self,
        out: BatchArrays,
        rows: NDArray[np.int64],
        epochs: NDArray[np.int64],
        first_position: int,
        certifier: Certifier | None = None,
    ) -> Batch:
        """A batch of these rows, at most B of them, standing at `first_position` and after; the rest is filler."""
        eot_id = self.index.stored.eot_id
        status, targets, longest = lay_rows(self._table, self._ids, rows, epochs, first_position, eot_id, out)
        if status != COMPLETE:
            self._check(rows)
            status, targets, longest = lay_rows(self._table, self._ids, rows, epochs, first_position, eot_id, out)
        if status != COMPLETE:
            raise CorruptDataError(
                "the sequence index points outside the tokens of its store",
                where=str(self.index.directory),
                remedy="delete this directory; it is built again from the store",
            )
        count = rows.shape[0]
        certificate = (
            0
            if certifier is None
            else certifier.certificate(
                out.inputs[:count], out.targets[:count], out.loss_mask[:count], out.positions[:count]
            )
        )
        return Batch(
            inputs=out.inputs,
            targets=out.targets,
            loss_mask=out.loss_mask,
            position_ids=out.position_ids,
            cu_seqlens=out.cu_seqlens,
            segment_count=int(out.segments[0]),
            max_seqlen=longest,
            positions=out.positions,
            rows=out.rows,
            epochs=out.epochs,
            target_count=targets,
            index=self.index,
            certificate=certificate,
        )

    def _check(self, rows: NDArray[np.int64]) -> None:
        """Verify the blocks that these rows touch. Raises CorruptDataError."""
        spans = [span for row in rows.tolist() for span in self._spans(row)]
        for some in range(0, len(spans), _READ_TOGETHER):
            for file, first, stop in spans[some : some + _READ_TOGETHER]:
                file.read_ahead(first, stop)
            for file, first, stop in spans[some : some + _READ_TOGETHER]:
                file.check(first, stop)

    def _spans(self, row: int) -> Iterator[tuple[ArrayFile, int, int]]:
        """Where a row's ids lie: file, first item, and the item after the last."""
        firsts = self._payloads.firsts
        starts, lengths = self.index.segments_of(row)
        shards = np.searchsorted(firsts, starts, "right") - 1
        for start, length, shard in zip(starts, lengths, shards, strict=True):
            if 0 <= int(shard) < len(self._shards):
                file, local = self._shards[int(shard)], int(start - firsts[shard])
                yield file, max(local - 1, 0), min(local + int(length), file.count)
