"""One (B, T) batch: what the inputs to a Transformer are, and what becomes of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from batchwright.batches.geometry import BatchGeometry
from batchwright.foundation.units import format_bytes
from batchwright.workflows.look import BatchView
from batchwright.workflows.picture import draw_legend, draw_map, draw_slots
from batchwright.workflows.section import Block, Grid, Picture, Section
from batchwright.workflows.strings import Say

LEGEND_LINES = 10
CLOSE_LINES = 3
SLOTS_BEFORE = 14  # of the document that ends, before the one that begins


def tell_batch(
    view: BatchView, say: Say, *, width: int, close: Sequence[tuple[int, int]] = ((0, 0),)
) -> Iterator[Block]:
    """The map of all rows, what its signs mean, whose documents these are; from close by, each (row, first slot)."""
    rows, length = view.inputs.shape
    yield say("batch.intro", rows=rows, length=length)
    picture, slots = draw_map(view, width=width)
    yield Picture(text=picture)
    drawn = picture.plain.count("\n") + 1
    if rows > drawn:
        yield say("picture.more_rows", rows=rows - drawn)
    yield say("picture.key") if slots == 1 else say("picture.key.compressed", slots=slots)
    if view.masked.any():
        yield say("picture.masked", masked=f"{view.masked.sum():,}", tokens=f"{(view.documents >= 0).sum():,}")
    yield Picture(text=draw_legend(view, width=width, limit=LEGEND_LINES))
    labels = tuple(say(key) for key in ("slots.text", "slots.id", "slots.target"))
    for row, first in close:
        yield say("batch.slots", row=row, first=first)
        yield Picture(text=draw_slots(view, row, width=width, lines=CLOSE_LINES, labels=labels, first=first))


def batch_section(
    view: BatchView,
    ledger: Mapping[str, Any],
    *,
    width: int,
    model_width: int,
    vocabulary_size: int,
    searched: int,
    say: Say,
) -> Section:
    """The demo's second chapter: the batch seen, its padding, and what becomes of it inside a model."""
    rows, length = view.inputs.shape
    return Section(
        title=say("batch.title"),
        blocks=(
            *tell_batch(view, say, width=width, close=(_a_beginning(view),)),
            say("batch.chosen", step=view.step, searched=searched),
            tell_padding(ledger, say),
            *tell_shapes(rows, length, model_width, vocabulary_size, say),
        ),
    )


def tell_no_beginning(view: BatchView, say: Say) -> list[Block]:
    """Said where the picture shows no seam, so that nobody takes a row for a document; else nothing."""
    documents = view.documents
    if np.any(documents[:, 1:] != documents[:, :-1]) or np.any(view.inputs == view.eot_id):
        return []
    return [say("batch.no_beginning", length=view.inputs.shape[1])]


def _a_beginning(view: BatchView) -> tuple[int, int]:
    """(row, slot) a little before the place where a document begins inside a row, or else a piece of one; or (0, 0)."""
    for begins in (view.inputs == view.eot_id, view.position_ids == 0):
        rows, slots = np.nonzero(begins & view.loss_mask)
        inside = np.flatnonzero(slots > 0)
        if inside.size:
            return int(rows[inside[0]]), max(0, int(slots[inside[0]]) - SLOTS_BEFORE)
    return 0, 0


def tell_padding(ledger: Mapping[str, Any], say: Say) -> str:
    """How much of an epoch's slots is padding, how many documents had to be cut, what is dropped and what is masked."""
    told = say(
        "batch.padding" if ledger["padding"] else "batch.no_padding",
        rows=f"{ledger['rows']:,}",
        slots=f"{ledger['slots']:,}",
        padding=f"{ledger['padding']:,}",
        share=_share(ledger["padding"], ledger["slots"]),
        cut=f"{ledger['documents_cut']:,}",
        documents=f"{ledger['documents']:,}",
    )
    lost = {"batch.dropped": sum(ledger.get("dropped", {}).values()), "batch.masked": ledger.get("masked", 0)}
    more = [
        say(key, tokens=f"{tokens:,}", share=_share(tokens, ledger["stored"])) for key, tokens in lost.items() if tokens
    ]
    return " ".join([told, *more])


def _share(part: int, whole: int) -> str:
    return "< 0.01%" if 0 < part < whole / 10_000 else f"{part / whole:.2%}"


def tell_shapes(rows: int, length: int, width: int, vocabulary_size: int, say: Say) -> tuple[Block, ...]:
    """(B, T) → embedding → (B, T, D) → logits (B, T, V), with what each weighs."""
    slots = rows * length
    tensors = (
        ("shape.inputs", f"(B, T) = ({rows}, {length})", "int64", slots, 8),
        ("shape.embedding", f"(V, D) = ({vocabulary_size:,}, {width})", "float32", vocabulary_size * width, 4),
        ("shape.stream", f"(B, T, D) = ({rows}, {length}, {width})", "float32", slots * width, 4),
        ("shape.logits", f"(B, T, V) = ({rows}, {length}, {vocabulary_size:,})", "float32", slots * vocabulary_size, 4),
    )
    table = Grid(
        header=tuple(say(f"shape.{name}") for name in ("tensor", "shape", "dtype", "numbers", "bytes")),
        rows=tuple(
            (say(key), shape, dtype, f"{numbers:,}", format_bytes(numbers * size))
            for key, shape, dtype, numbers, size in tensors
        ),
    )
    return (say("shape.sentence", width=width), table)


def tell_geometry(geometry: BatchGeometry, say: Say) -> str:
    """The batch in words and numbers."""
    return say(
        "geometry" if geometry.world_size == 1 else "geometry.ranks",
        sequences=f"{geometry.global_batch_size:,}",
        tokens=f"{geometry.tokens_per_step:,}",
        micro=geometry.micro_batch_size,
        accumulation=geometry.accumulation,
        ranks=geometry.world_size,
        length=geometry.sequence_length,
    )


def tell_idle_rows(geometry: BatchGeometry, asked: int, say: Say) -> list[str]:
    """That another micro-batch was asked for than is run, and the rows that are run in vain."""
    told: list[str] = []
    rows, micro = geometry.rows_per_rank, geometry.micro_batch_size
    if micro != asked:
        told.append(say("geometry.halved", asked=f"{asked:,}", rows=f"{rows:,}", micro=f"{micro:,}"))
    even = replace(geometry, micro_batch_size=-(-rows // geometry.accumulation))
    if even.filler_rows < geometry.filler_rows:
        computed = geometry.filler_rows + geometry.global_batch_size
        told.append(
            say(
                "geometry.filler",
                filler=f"{geometry.filler_rows:,}",
                computed=f"{computed:,}",
                better=f"{even.micro_batch_size:,}",
                left=f"{even.filler_rows:,}",
            )
        )
    return told
