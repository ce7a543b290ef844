"""Where a cell, a position or a document leads: batches traced back to their files, documents forth to their steps. No
torch.

Price: that of `look`, and for a document one reading of the index (0.06 CPU-s per 10⁸ segments).
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from batchwright.batches.geometry import BatchGeometry
from batchwright.batches.loader import BatchLoader
from batchwright.batches.tracing import Appearance, Cell, Visit, appearances_of, text_offset, trace_cell, visits_of
from batchwright.foundation.errors import InputError
from batchwright.sequences.index import SequenceIndex
from batchwright.sequences.placement import PlacedSegment, segments_of_row
from batchwright.sequences.plan import Plan
from batchwright.sequences.sampler import Sampler
from batchwright.tokens.finding import find_document
from batchwright.tokens.store import Origin, TokenStore
from batchwright.workflows.data import open_index
from batchwright.workflows.look import BatchView, view_of

HEAD_TOKENS = 160


@dataclass(frozen=True, kw_only=True)
class Stream:
    """What `show` is told: a store's split, cut into rows and put in order, B rows to a step."""

    directory: Path
    rows: int
    sequence_length: int
    split: str = "train"
    packing: str = "best-fit"
    seed: int = 0

    def open(self) -> "OpenStream":
        """Opened, its index built if it is not there. Raises InputError when there is no such stream."""
        store = TokenStore.open(self.directory)
        index = open_index(
            store, sequence_length=self.sequence_length, split=self.split, packing=self.packing, seed=self.seed
        )
        plan = Plan.of(index, seed=self.seed)
        geometry = BatchGeometry(
            global_batch_size=self.rows, micro_batch_size=self.rows, sequence_length=self.sequence_length
        )
        return OpenStream(
            split=self.split, store=store, index=index, loader=BatchLoader(plan, geometry), sampler=Sampler(plan)
        )


@dataclass(frozen=True, kw_only=True)
class OpenStream:
    """A stream with everything that answers for it."""

    split: str
    store: TokenStore
    index: SequenceIndex
    loader: BatchLoader
    sampler: Sampler

    @property
    def rows(self) -> int:
        """B."""
        return self.loader.geometry.global_batch_size

    def origin(self, document: int) -> Origin:
        return self.store.provenance(self.split, document)


@dataclass(frozen=True, kw_only=True)
class RowTrace:
    """One row of the stream, with the documents it is made of."""

    visit: Visit
    view: BatchView
    segments: tuple[tuple[PlacedSegment, Origin], ...]
    ledger: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        arrays = {name: value for name, value in self.view.to_json().items() if name != "step"}
        segments = [{**asdict(segment), **asdict(origin)} for segment, origin in self.segments]
        return {**asdict(self.visit), **arrays, "segments": segments}


@dataclass(frozen=True, kw_only=True)
class CellTrace:
    """One cell of one step's batch; `text_offset` counts bytes of the document's text before the target."""

    step: int
    cell: Cell
    text_offset: int | None
    token_bytes: Callable[[int], bytes]

    def text_of(self, token: int) -> str:
        return self.token_bytes(token).decode(errors="replace")

    def to_json(self) -> dict[str, Any]:
        cell = asdict(self.cell)
        cell["input"], cell["target"] = (
            {"id": i, "text": self.text_of(i)} for i in (cell.pop("input_id"), cell.pop("target_id"))
        )
        return {"step": self.step, **cell, "text_offset": self.text_offset}


@dataclass(frozen=True, kw_only=True)
class DocumentTrace:
    """One document: whence it came, where it lies, and when it is trained on in the first epochs."""

    document: int
    split: str
    tokens: int
    origin: Origin
    appearances: tuple[Appearance, ...]
    text_head: str

    def to_json(self) -> dict[str, Any]:
        return {
            "document": self.document,
            "split": self.split,
            "tokens": self.tokens,
            **asdict(self.origin),
            "appearances": [asdict(appearance) for appearance in self.appearances],
            "text_head": self.text_head,
        }


def look_at_position(stream: Stream, position: int) -> RowTrace:
    """The row that stands at a position of the global order."""
    opened = stream.open()
    rows, epochs = opened.sampler.rows_at(position, 1)
    (visit,) = visits_of(opened.sampler, int(rows[0]), [int(epochs[0])], opened.rows)
    alone = BatchGeometry(global_batch_size=1, micro_batch_size=1, sequence_length=stream.sequence_length)
    batch = next(iter(BatchLoader(opened.loader.plan, alone).step_from(position)))
    return RowTrace(
        visit=visit,
        view=view_of(opened.store, stream.split, batch, visit.step),
        segments=tuple((s, opened.origin(s.document)) for s in segments_of_row(opened.index, visit.row)),
        ledger=dict(opened.index.counts),
    )


def look_at_cell(stream: Stream, step: int, b: int, t: int) -> CellTrace:
    """Slot t of row b in the batch of a step."""
    if step < 0:
        raise InputError(f"there is no step {step}", remedy="steps count from 0")
    opened = stream.open()
    cell = trace_cell(opened.store, next(iter(opened.loader.step_at(step))), b, t)
    offset = None
    if cell.segment is not None and cell.token is not None:
        offset = text_offset(opened.store, stream.split, cell.segment.document, cell.token)
    return CellTrace(step=step, cell=cell, text_offset=offset, token_bytes=opened.store.tokenizer.token_bytes)


def look_at_document(stream: Stream, name: str, *, epochs: int = 3) -> DocumentTrace:
    """The document that `name` means (see `find_document`), with its turns in epochs 0 … epochs - 1."""
    if epochs < 1:
        raise InputError(f"{epochs} epochs", remedy="--epochs 1 or more")
    opened = stream.open()
    document = find_document(opened.store, stream.split, name)
    ids = opened.store.ids_of(stream.split, document)
    pieces = [opened.store.tokenizer.token_bytes(i) for i in ids[: min(HEAD_TOKENS, len(ids) - 1)].tolist()]
    return DocumentTrace(
        document=document,
        split=stream.split,
        tokens=len(ids),
        origin=opened.origin(document),
        appearances=appearances_of(opened.sampler, opened.index, document, range(epochs), opened.rows),
        # The last token may end within a character.
        text_head=b"".join(pieces).decode(errors="ignore"),
    )
