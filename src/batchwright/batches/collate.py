"""Rows → Batch: the bridge between a sequence index and the gathering loop.

Guarantee: every MiB of tokens and index that a batch touches has had its checksum verified in this process before it is
used (once: ~60 µs per MiB, so the first pass over a store costs one reading of it); a damaged one is a CorruptDataError
with file and bytes, never a wrong batch. Price after that: ~10 µs per batch and the loop.
"""

import numpy as np
from numpy.typing import NDArray

from batchwright.batches.batch import Batch
from batchwright.batches.buffers import Buffers
from batchwright.batches.gather import COMPLETE, DAMAGED, RowTable, StoredIds, gather, survey
from batchwright.foundation.errors import CorruptDataError
from batchwright.sequences.address_table import AddressTable
from batchwright.sequences.index import SequenceIndex


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
        buffers: Buffers,
        rows: NDArray[np.int64],
        epochs: NDArray[np.int64],
        first_position: int,
    ) -> Batch:
        """A batch of these rows, at most B of them, standing at `first_position` and after; the rest is filler."""
        index, slots, count = self.index, buffers.slots, rows.shape[0]
        status = survey(self._table, self._ids, rows, index.sequence_length)
        if status != COMPLETE:
            self._check(rows)
        targets, longest = gather(self._table, self._ids, rows, index.stored.eot_id, slots)
        buffers.rows[:count], buffers.rows[count:] = rows, -1
        buffers.epochs[:count], buffers.epochs[count:] = epochs, -1
        buffers.positions[:count], buffers.positions[count:] = np.arange(first_position, first_position + count), -1
        return Batch(
            inputs=slots.inputs,
            targets=slots.targets,
            loss_mask=slots.loss_mask,
            position_ids=slots.position_ids,
            cu_seqlens=slots.cu_seqlens,
            segment_count=int(slots.segments[0]),
            max_seqlen=int(longest),
            positions=buffers.positions,
            rows=buffers.rows,
            epochs=buffers.epochs,
            target_count=int(targets),
            index=index,
        )

    def _check(self, rows: NDArray[np.int64]) -> None:
        """Verify the blocks that these rows touch, or say what is damaged."""
        firsts = self._payloads.firsts
        for row in rows.tolist():
            starts, lengths = self.index.segments_of(row)
            for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
                shard = int(np.searchsorted(firsts, start, "right")) - 1
                if 0 <= shard < len(self._shards):
                    local = start - int(firsts[shard])
                    self._shards[shard].check(local - 1, min(local + length, self._shards[shard].count))
        if survey(self._table, self._ids, rows, self.index.sequence_length) == DAMAGED:
            raise CorruptDataError(
                "the sequence index points outside the tokens of its store",
                where=str(self.index.directory),
                remedy="delete this directory; it is built again from the store",
            )
