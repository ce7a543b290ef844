"""Rows → Batch: the bridge between sequence indexes and the gathering loop.

Guarantee: every MiB of tokens, loss mask and index that a batch touches has had its checksum verified in this process
before it is used (once: ~60 µs per MiB, so the first pass over a store costs one reading of it); a damaged one is a
CorruptDataError with file and bytes, never a wrong batch. Price after that: ~10 µs per batch and the loop, however many
sources.
"""

from collections.abc import Iterator
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from batchwright.batches.batch import Batch
from batchwright.batches.buffers import BatchArrays
from batchwright.batches.certificate import Certifier
from batchwright.batches.gather import StoredIds, lay_rows
from batchwright.batches.masking import StoredMasks, lay_masks, masks_of, stored_masks
from batchwright.batches.row_table import COMPLETE, attention_costs, count_targets, row_table
from batchwright.foundation.array_file import ArrayFile
from batchwright.foundation.errors import CorruptDataError
from batchwright.sequences.address_table import AddressTable
from batchwright.sequences.index import SequenceIndex
from batchwright.sequences.sampler import PlacedRows

# Places that a cold disk is asked for at once: at most so many MiB, half of them read while the others are hashed.
_READ_TOGETHER = 64


class Collator:
    """Builds batches of the rows of one or several sequence indexes, whose ids mean the same. Holds no state: any rows,
    any time, any thread (one per buffers)."""

    def __init__(self, *indexes: SequenceIndex) -> None:
        self.indexes = indexes
        self._shards = tuple(shard.tokens for index in indexes for shard in index.stored.shards)
        self._payloads = AddressTable.of([file.array for file in self._shards])
        self._flags = AddressTable.of([file.unchecked for file in self._shards])
        self._masks = masks_of(indexes)
        self._stored_masks = stored_masks(self._masks, self._payloads.firsts)
        self._ids = StoredIds(
            addresses=self._payloads.addresses,
            firsts=self._payloads.firsts,
            unchecked=self._flags.addresses,
            like=self._payloads.like,
            flags_like=self._flags.like,
        )
        self._shards_before = [0, *accumulate(len(index.stored.shards) for index in indexes)]
        self._table, self._table_memory = row_table(indexes)
        self._eot_id = indexes[0].stored.eot_id

    def collate(self, out: BatchArrays, placed: PlacedRows, certifier: Certifier | None = None) -> Batch:
        """A batch of these rows, at most B of them; the rest is filler."""
        status, targets, longest = lay_rows(self._table, self._ids, placed.table, self._eot_id, out)
        if status != COMPLETE:
            self._check(placed)
            status, targets, longest = lay_rows(self._table, self._ids, placed.table, self._eot_id, out)
        if status == COMPLETE and self._stored_masks is not None:
            status, targets = self._lay_masks(self._stored_masks, placed, out)
        if status != COMPLETE:
            raise self._damaged(placed)
        count = len(placed)
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
            streams=out.streams,
            rows=out.rows,
            epochs=out.epochs,
            target_count=targets,
            indexes=self.indexes,
            certificate=certificate,
        )

    def _lay_masks(self, masks: StoredMasks, placed: PlacedRows, out: BatchArrays) -> tuple[int, int]:
        """(status, targets) of rows whose ids are laid. Their ids may be checked where their masks are not yet."""
        flags = out.loss_mask.view(np.uint8)
        status, targets = lay_masks(self._table, masks, placed.table, flags)
        if status != COMPLETE:
            self._check(placed)
            status, targets = lay_masks(self._table, masks, placed.table, flags)
        return status, targets

    def targets_of(self, placed: PlacedRows) -> int:
        """Targets in these rows together."""
        status, targets = count_targets(self._table, placed.table)
        if status != COMPLETE:
            for stream, row in placed.pairs():
                self.indexes[stream].row_targets.check(row, row + 1)
            status, targets = count_targets(self._table, placed.table)
        if status != COMPLETE:
            raise self._damaged(placed)
        return targets

    def attention_costs(self, placed: PlacedRows, sequence_length: int) -> NDArray[np.int64]:
        """(N,) int64: Σ L² over every row's segments, what isolated attention costs."""
        out = np.empty(len(placed), np.int64)
        status = attention_costs(self._table, placed.table, sequence_length, out)
        if status != COMPLETE:
            for stream, row in placed.pairs():
                self.indexes[stream].segments_of(row)
            status = attention_costs(self._table, placed.table, sequence_length, out)
        if status != COMPLETE:
            raise self._damaged(placed)
        return out

    def _check(self, placed: PlacedRows) -> None:
        """Verify the blocks that these rows touch. Raises CorruptDataError."""
        spans = [span for stream, row in placed.pairs() for span in self._spans(stream, row)]
        for some in range(0, len(spans), _READ_TOGETHER):
            for file, first, stop in spans[some : some + _READ_TOGETHER]:
                file.read_ahead(first, stop)
            for file, first, stop in spans[some : some + _READ_TOGETHER]:
                file.check(first, stop)

    def _spans(self, stream: int, row: int) -> Iterator[tuple[ArrayFile, int, int]]:
        """Where a row's ids lie, and its loss mask: file, first item, and the item after the last."""
        firsts = self._payloads.firsts
        begin, end = self._shards_before[stream], self._shards_before[stream + 1]
        own, lengths = self.indexes[stream].segments_of(row)
        starts: NDArray[np.int64] = own + firsts[begin]
        shards = np.searchsorted(firsts, starts, "right") - 1
        for start, length, shard in zip(starts, lengths, shards, strict=True):
            if begin <= int(shard) < end:
                file, local = self._shards[int(shard)], int(start - firsts[shard])
                yield file, max(local - 1, 0), min(local + int(length), file.count)
                mask = self._masks[int(shard)]
                if mask is not None:
                    yield mask, max(local, 0), min(local + int(length), mask.count)

    def _damaged(self, placed: PlacedRows) -> CorruptDataError:
        streams = sorted({stream for stream, _ in placed.pairs()})
        return CorruptDataError(
            "the sequence index points outside the tokens of its store",
            where=", ".join(str(self.indexes[stream].directory) for stream in streams),
            remedy="delete this directory; it is built again from the store",
        )
