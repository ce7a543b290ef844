"""Sections, tables and batches as rich draws them."""

from collections.abc import Iterator, Mapping

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from batchwright.cli.face import Face
from batchwright.workflows.look import BatchView
from batchwright.workflows.picture import draw_legend, draw_map, draw_slots
from batchwright.workflows.section import Block, Code, Figure, Grid, Section
from batchwright.workflows.telling.one_batch import tell_padding, tell_picture

LEGEND_LINES = 12
CLOSE_LINES = 4


def paint_section(section: Section) -> RenderableType:
    return Group("", Rule(Text(section.title, style="bold"), align="left"), *(paint(block) for block in section.blocks))


def paint(block: Block) -> RenderableType:
    match block:
        case str():
            return Padding(Text(block), (0, 0, 0, 0))
        case Grid():
            return paint_grid(block)
        case Code():
            return Padding(Text(block.text), (0, 0, 0, 2))
        case Figure():
            return Text(f"{block.caption}: {block.file_name}")


def paint_grid(grid: Grid) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for place, name in enumerate(grid.header):
        table.add_column(name, justify="right" if place else "left", overflow="fold")
    for row in grid.rows:
        table.add_row(*row)
    return table


def paint_batch(
    view: BatchView, ledger: Mapping[str, int], face: Face, *, close_rows: int = 1
) -> Iterator[RenderableType]:
    """The map of all rows, what its signs mean, whose documents these are, and the first rows from close by."""
    width = face.out.width
    rows, length = view.inputs.shape
    picture, slots = draw_map(view, width=width)
    yield Text(face.say("batch.intro", rows=rows, length=length))
    yield ""
    yield picture
    if rows > picture.plain.count("\n") + 1:
        yield Text(face.say("picture.more_rows", rows=rows - picture.plain.count("\n") - 1))
    yield ""
    yield Text(tell_picture(view, face.say, slots_per_character=slots))
    yield draw_legend(view, width=width, limit=LEGEND_LINES)
    yield ""
    yield Text(face.say("batch.slots"))
    for row in range(min(close_rows, rows)):
        yield ""
        labels = tuple(face.say(key) for key in ("slots.text", "slots.id", "slots.target"))
        yield draw_slots(view, row, width=width, lines=CLOSE_LINES, labels=labels)
    yield ""
    yield Text(tell_padding(ledger, face.say))
