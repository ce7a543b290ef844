"""What a trace has to tell: tables of documents, rows and steps, and the head of a text."""

from collections.abc import Iterator

from batchwright.documents.document import DocumentFlag
from batchwright.tokens.store import Origin
from batchwright.workflows.picture import visible, visible_lines
from batchwright.workflows.section import Block, Code, Grid
from batchwright.workflows.strings import Say
from batchwright.workflows.telling.one_batch import tell_batch
from batchwright.workflows.trace import CellTrace, DocumentTrace, RowTrace

TABLE_ROWS = 16
HEAD_LINES = 8


def tell_row(trace: RowTrace, say: Say, *, width: int) -> Iterator[Block]:
    """The row drawn, when it is eaten, and the documents in it."""
    visit = trace.visit
    yield say(
        "trace.position",
        position=f"{visit.position:,}",
        row=f"{visit.row:,}",
        epoch=f"{visit.epoch:,}",
        step=f"{visit.step:,}",
        place=f"{visit.place:,}",
    )
    yield from tell_batch(trace.view, say, width=width)
    shown = trace.segments[:TABLE_ROWS]
    yield Grid(
        header=tuple(say(f"trace.{name}") for name in ("slots", "document", "tokens", "from")),
        rows=tuple(
            (
                _range(segment.slot, segment.stop_slot),
                f"{segment.document:,}",
                _range(segment.first_token, segment.stop_token),
                _place(origin),
            )
            for segment, origin in shown
        ),
        left=True,
    )
    if len(shown) < len(trace.segments):
        yield say("trace.more", more=f"{len(trace.segments) - len(shown):,}")


def tell_cell(trace: CellTrace, say: Say) -> Iterator[Block]:
    """A cell in words, from its ids to its file."""
    cell = trace.cell
    rows = [
        ("trace.cell", f"({cell.b}, {cell.t})"),
        ("trace.step", f"{trace.step:,}"),
        ("trace.input", f"{cell.input_id:,}  {visible(trace.text_of(cell.input_id))}"),
    ]
    if cell.segment is None or cell.origin is None or cell.token is None or trace.text_offset is None:
        rows.append(("trace.target", say("trace.filler" if cell.row < 0 else "trace.padding")))
    else:
        target = f"{cell.target_id:,}  {visible(trace.text_of(cell.target_id))}"
        rows += [
            ("trace.target", say("trace.masked", target=target) if cell.masked else target),
            ("trace.document", f"{cell.segment.document:,}"),
            ("trace.token", f"{cell.token:,}"),
            ("trace.text_offset", f"{trace.text_offset:,}"),
            *_origin(cell.origin),
        ]
    if cell.row >= 0:
        rows += [
            ("trace.place", f"{cell.position:,}"),
            ("trace.row", f"{cell.row:,}"),
            ("trace.epoch", f"{cell.epoch:,}"),
        ]
    yield _facts(rows, say)


def tell_document(trace: DocumentTrace, say: Say) -> Iterator[Block]:
    """Whence a document came, its rows, and its steps in the first epochs."""
    yield _facts(
        [
            ("trace.document", f"{trace.document:,} ({trace.split})"),
            *_origin(trace.origin),
            ("trace.bytes", f"{trace.origin.text_bytes:,}"),
            ("trace.tokens", f"{trace.tokens:,}"),
        ],
        say,
    )
    yield Code(text=_head(trace.text_head))
    if not trace.appearances:
        yield say("trace.nowhere")
        return
    shown = trace.appearances[:TABLE_ROWS]
    epochs = [visit.epoch for visit in shown[0].visits]
    yield say("trace.appearances", segments=f"{len(trace.appearances):,}")
    yield Grid(
        header=(
            *(say(f"trace.{name}") for name in ("tokens", "row", "slots")),
            *(say("trace.turn", epoch=epoch) for epoch in epochs),
        ),
        rows=tuple(
            (
                _range(segment.first_token, segment.stop_token),
                f"{segment.row:,}",
                _range(segment.slot, segment.stop_slot),
                *(f"{visit.position:,} → {visit.step:,}" for visit in appearance.visits),
            )
            for appearance in shown
            for segment in (appearance.segment,)
        ),
        left=True,
    )
    if len(shown) < len(trace.appearances):
        yield say("trace.more", more=f"{len(trace.appearances) - len(shown):,}")


def _facts(rows: list[tuple[str, str]], say: Say) -> Grid:
    return Grid(header=("", ""), rows=tuple((say(key), value) for key, value in rows), left=True)


def _origin(origin: Origin) -> list[tuple[str, str]]:
    return [
        ("trace.source", visible(origin.source)),
        ("trace.from", _place(origin)),
        ("trace.id", origin.id),
        *(("trace.infilled", form) for form in _form(origin)),
    ]


def _form(origin: Origin) -> list[str]:
    if not origin.flags & DocumentFlag.INFILLED:
        return []
    return ["SPM" if origin.flags & DocumentFlag.SUFFIX_FIRST else "PSM"]


def _place(origin: Origin) -> str:
    return visible(origin.path).replace("␣", " ") + (f" @ {origin.offset:,}" if origin.offset else "")


def _range(first: int, stop: int) -> str:
    return f"{first:,} – {stop - 1:,}" if stop - first > 1 else f"{first:,}"


def _head(text: str) -> str:
    lines = visible_lines(text).split("\n")
    return "\n".join(lines[:HEAD_LINES] + (["…"] if len(lines) > HEAD_LINES else []))
