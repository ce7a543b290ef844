"""`batchwright show STORE`: one (B, T) batch in the terminal, coloured by document. No torch."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from rich.padding import Padding

from batchwright.cli.face import PEOPLE, Face
from batchwright.cli.paint import paint
from batchwright.workflows.look import look_at_batch
from batchwright.workflows.telling.one_batch import tell_batch, tell_no_beginning, tell_padding


def show(
    store: Path,
    /,
    *,
    batch: Annotated[int, Parameter(name=["--batch", "-B"])] = 4,
    length: Annotated[int, Parameter(name=["--length", "-T"])] = 128,
    step: int = 0,
    split: str = "train",
    packing: Literal["best-fit", "concatenate"] = "best-fit",
    seed: int = 0,
    rows: int = 1,
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
    """
    view, index = look_at_batch(
        store, rows=batch, sequence_length=length, step=step, split=split, packing=packing, seed=seed
    )
    if face.json:
        face.answer(view.to_json())
    else:
        close = [(row, 0) for row in range(min(rows, batch))]
        blocks = [
            *tell_batch(view, face.say, width=face.out.width, close=close),
            *tell_no_beginning(view, face.say),
            tell_padding(index.counts, face.say),
        ]
        face.show(*(Padding(paint(block), (0, 0, 1, 0), expand=False) for block in blocks))
