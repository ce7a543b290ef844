"""One (B, T) batch: what the inputs to a Transformer are, and what becomes of them."""

from collections.abc import Mapping

from batchwright.batches.geometry import BatchGeometry
from batchwright.foundation.units import format_bytes
from batchwright.workflows.look import BatchView
from batchwright.workflows.section import Block, Code, Grid, Section
from batchwright.workflows.strings import Say


def tell_picture(view: BatchView, say: Say, *, slots_per_character: int) -> str:
    """What the picture's signs mean."""
    if slots_per_character == 1:
        return say("picture.key")
    return say("picture.key.compressed", slots=slots_per_character)


def tell_padding(ledger: Mapping[str, int], say: Say) -> str:
    """How much of an epoch's slots is padding, and how many documents had to be cut."""
    return say(
        "batch.padding" if ledger["padding"] else "batch.no_padding",
        rows=f"{ledger['rows']:,}",
        slots=f"{ledger['slots']:,}",
        padding=f"{ledger['padding']:,}",
        share=f"{ledger['padding'] / ledger['slots']:.2%}",
        cut=f"{ledger['documents_cut']:,}",
        documents=f"{ledger['documents']:,}",
    )


def tell_shapes(rows: int, length: int, width: int, vocabulary_size: int, say: Say) -> tuple[Block, ...]:
    """(B, T) → embedding → (B, T, D) → logits (B, T, V), with what each weighs."""
    slots = rows * length
    table = Grid(
        header=(say("shape.tensor"), say("shape.shape"), say("shape.dtype"), say("shape.numbers"), say("bytes")),
        rows=tuple(
            (name, shape, dtype, f"{numbers:,}", format_bytes(numbers * size))
            for name, shape, dtype, numbers, size in (
                (say("shape.inputs"), f"(B, T) = ({rows}, {length})", "int64", slots, 8),
                (
                    say("shape.embedding"),
                    f"(V, D) = ({vocabulary_size:,}, {width})",
                    "float32",
                    vocabulary_size * width,
                    4,
                ),
                (say("shape.stream"), f"(B, T, D) = ({rows}, {length}, {width})", "float32", slots * width, 4),
                (
                    say("shape.logits"),
                    f"(B, T, V) = ({rows}, {length}, {vocabulary_size:,})",
                    "float32",
                    slots * vocabulary_size,
                    4,
                ),
            )
        ),
    )
    return (say("shape.sentence", width=width), table)


def tell_geometry(geometry: BatchGeometry, say: Say) -> str:
    """The batch in words and numbers."""
    return say(
        "geometry",
        sequences=f"{geometry.global_batch_size:,}",
        tokens=f"{geometry.tokens_per_step:,}",
        micro=geometry.micro_batch_size,
        accumulation=geometry.accumulation,
        ranks=geometry.world_size,
        length=geometry.sequence_length,
    )


def batch_section(
    view: BatchView,
    ledger: Mapping[str, int],
    pictures: Mapping[str, str],
    *,
    width: int,
    vocabulary_size: int,
    say: Say,
) -> Section:
    """The second chapter as plain text; a terminal draws the same pictures in colour."""
    rows, length = view.inputs.shape
    return Section(
        title=say("batch.title"),
        blocks=(
            say("batch.intro", rows=rows, length=length),
            Code(text=pictures["map"]),
            pictures["key"],
            Code(text=pictures["legend"]),
            say("batch.slots"),
            Code(text=pictures["slots"]),
            tell_padding(ledger, say),
            *tell_shapes(rows, length, width, vocabulary_size, say),
        ),
    )
