"""From a (b, t) cell back to its document's file, and from a document forth to the steps that eat it.

    cell (b, t) ─▶ position, epoch ─▶ row ─▶ segment ─▶ document, token ─▶ source, file, offset
                └────────── every arrow also backwards: document ─▶ segments ─▶ rows ─▶ positions ─▶ steps

Guarantee: a function of (plan, batch size, cell) or (plan, batch size, document), at any time of any run; nothing was
logged for it. Price: microseconds for a cell; a document reads the index once (see `sequences.placement`).
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from batchwright.batches.batch import Batch
from batchwright.documents.document import DocumentFlag
from batchwright.foundation.errors import InputError
from batchwright.sequences.index import SequenceIndex
from batchwright.sequences.placement import PlacedSegment, segments_of_document, segments_of_row
from batchwright.sequences.sampler import Sampler
from batchwright.tokens.infilling import Sentinels
from batchwright.tokens.store import Origin, TokenStore


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One slot of a batch. `position`, `row`, `epoch` are -1 in filler; `segment`, `token` and `origin` are None where
    nothing is laid (filler and padding). `token` is the target's place in its document, from 0; `masked`: the store's
    loss mask leaves it out."""

    b: int
    t: int
    position: int
    row: int
    epoch: int
    input_id: int
    target_id: int
    position_id: int
    segment: PlacedSegment | None = None
    token: int | None = None
    origin: Origin | None = None
    masked: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Visit:
    """A row's turn in one epoch: its position in the global order, the step that eats it and its place among the
    step's sequences."""

    row: int
    epoch: int
    position: int
    step: int
    place: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Appearance:
    """A segment of a document, with its turns in the epochs asked for."""

    segment: PlacedSegment
    visits: tuple[Visit, ...]


def trace_cell(store: TokenStore, batch: Batch, b: int, t: int) -> Cell:
    """Where slot t of row b comes from. Raises InputError outside the batch, or when it is of another store."""
    rows, length = batch.shape
    if not (0 <= b < rows and 0 <= t < length):
        raise InputError(f"there is no cell ({b}, {t}) in a batch of ({rows}, {length})", remedy="both count from 0")
    row = int(batch.rows[b])
    segment = None if row < 0 else segment_at(batch.index, row, t)
    origin = None
    if segment is not None:
        refuse_another_store(store, batch.index)
        origin = store.provenance(batch.index.stored.split, segment.document)
    return Cell(
        b=b,
        t=t,
        position=int(batch.positions[b]),
        row=row,
        epoch=int(batch.epochs[b]),
        input_id=int(batch.inputs[b, t]),
        target_id=int(batch.targets[b, t]),
        position_id=int(batch.position_ids[b, t]),
        segment=segment,
        token=None if segment is None else segment.first_token + t - segment.slot,
        origin=origin,
        masked=segment is not None and not batch.loss_mask[b, t],
    )


def segment_at(index: SequenceIndex, row: int, slot: int) -> PlacedSegment | None:
    """The segment that fills a slot of a row; None in padding."""
    return next((s for s in segments_of_row(index, row) if s.slot <= slot < s.stop_slot), None)


def text_offset(store: TokenStore, split: str, document: int, token: int) -> int:
    """Bytes of the document's cleaned text before one of its tokens. Where cleaning changed nothing (`Origin.flags`
    is 0) and the file is plain text, `Origin.offset` and this add up to the byte in the file."""
    tokenizer, ids = store.tokenizer, store.ids_of(split, document)
    cut = store.provenance(split, document).flags & DocumentFlag.INFILLED
    before = Sentinels.of(tokenizer).before(ids[:-1], token) if cut else ids[:token]
    ids, counts = np.unique(before, return_counts=True)
    return sum(count * len(tokenizer.token_bytes(i)) for i, count in zip(ids.tolist(), counts.tolist(), strict=True))


def step_of(position: int, global_batch_size: int) -> tuple[int, int]:
    """(step, place among its sequences) that eats a position, with one batch size from position 0 on."""
    return divmod(position, global_batch_size)


def visits_of(sampler: Sampler, row: int, epochs: Iterable[int], global_batch_size: int) -> tuple[Visit, ...]:
    """A row's turns in these epochs."""
    out: list[Visit] = []
    for epoch in epochs:
        position = sampler.position_of(row, epoch)
        step, place = step_of(position, global_batch_size)
        out.append(Visit(row=row, epoch=epoch, position=position, step=step, place=place))
    return tuple(out)


def appearances_of(
    sampler: Sampler, index: SequenceIndex, document: int, epochs: Iterable[int], global_batch_size: int
) -> tuple[Appearance, ...]:
    """Where and when a document is trained on: its segments in the order of its tokens, each with its turns."""
    wanted = tuple(epochs)
    return tuple(
        Appearance(segment=segment, visits=visits_of(sampler, segment.row, wanted, global_batch_size))
        for segment in segments_of_document(index, document)
    )


def refuse_another_store(store: TokenStore, index: SequenceIndex) -> None:
    """Raises InputError when an index was not built from this store."""
    if index.stored.fingerprint != store.fingerprint:
        raise InputError(
            f"the batch is of the store {index.stored.fingerprint}, this is {store.fingerprint}",
            where=str(store.directory),
            remedy=f"open {index.stored.directory}",
        )
