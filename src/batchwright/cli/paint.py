"""Sections and their blocks as rich draws them."""

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from batchwright.workflows.section import Block, Code, Figure, Grid, Picture, Section


def paint_section(section: Section) -> RenderableType:
    title = Rule(Text(f" {section.title} ", style="bold"), align="left")
    return Group("", title, *(Padding(paint(block), (1, 0, 0, 0), expand=False) for block in section.blocks))


def paint(block: Block) -> RenderableType:
    match block:
        case str():
            return Text(block)
        case Grid():
            return paint_grid(block)
        case Code():
            return Padding(Text(block.text), (0, 0, 0, 2), expand=False)
        case Picture():
            return block.text
        case Figure():
            return Text(f"{block.caption}: {block.file_name}")


def paint_grid(grid: Grid) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for place, name in enumerate(grid.header):
        table.add_column(name, justify="right" if place and not grid.left else "left", overflow="fold")
    for row in grid.rows:
        table.add_row(*row)
    return table
