"""Sections and their blocks as rich draws them."""

from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.padding import Padding
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from batchwright.cli.prose import Prose
from batchwright.workflows.section import Block, Code, Figure, Grid, Picture, Section


def paint_section(section: Section) -> RenderableType:
    title = Rule(Text(f" {section.title} ", style="bold"), align="left")
    return Group("", title, *(Padding(paint(block), (1, 0, 0, 0), expand=False) for block in section.blocks))


def paint(block: Block) -> RenderableType:
    match block:
        case str():
            return Prose(block)
        case Grid():
            return paint_grid(block)
        case Code():
            return Padding(Text(block.text), (0, 0, 0, 2), expand=False)
        case Picture():
            return block.text
        case Figure():
            return Text(f"{block.caption}: {block.file_name}")


def paint_warning(sentence: str) -> RenderableType:
    """What must not be overlooked, with a frame and not by colour alone."""
    return Panel(Prose(sentence), border_style="yellow")


def paint_grid(grid: Grid) -> RenderableType:
    return _Roomy(wide=_table(grid, gap=2), narrow=_table(grid, gap=1))


@dataclass(frozen=True, kw_only=True)
class _Roomy:
    """A table with two columns of air between its own where they fit, else one: a number broken in two misleads."""

    wide: Table
    narrow: Table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self._chosen(console, options)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement.get(console, options, self._chosen(console, options))

    def _chosen(self, console: Console, options: ConsoleOptions) -> Table:
        needed = self.wide.__rich_measure__(console, options.update(max_width=10_000)).maximum
        return self.wide if needed <= options.max_width else self.narrow


def _table(grid: Grid, *, gap: int) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, gap, 0, 0))
    for place, name in enumerate(grid.header):
        table.add_column(name, justify="right" if place and not grid.left else "left", overflow="fold")
    for row in grid.rows:
        table.add_row(*map(Prose, row) if grid.left else row)
    return table
