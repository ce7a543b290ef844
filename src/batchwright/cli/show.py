"""`batchwright show STORE`: one (B, T) batch in the terminal, coloured by document; or where a position, a cell or a
document leads. No torch."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter
from rich.padding import Padding

from batchwright.cli.face import PEOPLE, Face
from batchwright.cli.paint import paint
from batchwright.foundation.errors import UsageError
from batchwright.tokens.rejected import read_rejected
from batchwright.workflows.look import look_at_batch
from batchwright.workflows.section import Block
from batchwright.workflows.telling.one_batch import tell_batch, tell_no_beginning, tell_padding
from batchwright.workflows.telling.provenance import tell_cell, tell_document, tell_row
from batchwright.workflows.telling.text_to_tokens import tell_rejected
from batchwright.workflows.trace import Stream, look_at_cell, look_at_document, look_at_position


def show(
    store: Path,
    /,
    *,
    batch: Annotated[int, Parameter(name=["--batch", "-B"])] = 4,
    length: Annotated[int, Parameter(name=["--length", "-T"])] = 128,
    step: int = 0,
    split: str = "train",
    packing: Literal["best-fit", "concatenate", "best-fit-truncated", "start-aligned"] = "best-fit",
    seed: int = 0,
    rows: int = 1,
    position: int | None = None,
    cell: str | None = None,
    document: str | None = None,
    epochs: int = 3,
    rejected: str | None = None,
    face: Face = PEOPLE,
) -> None:
    """One (B, T) batch, exactly as a step of a run with this B, T and seed would eat it.

    Parameters
    ----------
    store
        A token store made by `batchwright prepare`.
    batch
        B, rows of the batch (sequences).
    length
        T, tokens per row.
    step
        Which step's batch, counted from 0; any step of any length of run is found at once.
    split
        train or validation.
    packing
        How documents are laid into rows.
    seed
        Names the order of the rows.
    rows
        How many rows are shown token by token under the picture.
    position
        Instead of a batch: the row at this position of the global order, with the documents in it.
    cell
        B,T: where one cell of the step's batch comes from, down to the file and the byte.
    document
        Where and when a document is trained on. Its number, its id (32 hexadecimal digits), or its file: PATH, or
        PATH@OFFSET for the document that begins at or last before that byte (of parquet: row).
    epochs
        How many epochs of the document's positions and steps are listed.
    rejected
        Instead of a batch: the first documents that were dropped for this reason (prepare --keep-rejected), as many as
        the batch has rows.
    """
    if rejected is not None:
        found = list(read_rejected(store, rejected, batch))
        _answer(face, {"reason": rejected, "documents": found}, lambda: tell_rejected(found, face.say))
        return
    stream = Stream(directory=store, rows=batch, sequence_length=length, split=split, packing=packing, seed=seed)
    if sum(wish is not None for wish in (position, cell, document)) > 1:
        raise UsageError("--position, --cell and --document each ask for another answer", remedy="one of them")
    if position is not None:
        row = look_at_position(stream, position)
        _answer(face, row.to_json(), lambda: tell_row(row, face.say, width=face.out.width))
        return
    if cell is not None:
        one = look_at_cell(stream, step, *_cell(cell))
        _answer(face, one.to_json(), lambda: tell_cell(one, face.say))
        return
    if document is not None:
        traced = look_at_document(stream, document, epochs=epochs)
        _answer(face, traced.to_json(), lambda: tell_document(traced, face.say))
        return
    view, index = look_at_batch(
        store, rows=batch, sequence_length=length, step=step, split=split, packing=packing, seed=seed
    )
    close = [(row, 0) for row in range(min(rows, batch))]
    _answer(
        face,
        view.to_json(),
        lambda: (
            *tell_batch(view, face.say, width=face.out.width, close=close),
            *tell_no_beginning(view, face.say),
            tell_padding(index.counts, face.say),
        ),
    )


def _answer(face: Face, value: dict[str, Any], tell: Callable[[], Iterable[Block]]) -> None:
    if face.json:
        face.answer(value)
    else:
        face.show(*(Padding(paint(block), (0, 0, 1, 0), expand=False) for block in tell()))


def _cell(text: str) -> tuple[int, int]:
    b, comma, t = text.partition(",")
    if not (comma and b.strip().isdigit() and t.strip().isdigit()):
        raise UsageError(f"--cell {text!r} is not a row and a slot", remedy="--cell 0,17")
    return int(b), int(t)
