"""What a workflow has to tell, before anyone decides how it looks: a terminal draws sections with rich, a report as
Markdown.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A table of finished words. The first column names the row; the others hold numbers (right), or words (`left`)."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: bool = False

    def __post_init__(self) -> None:
        assert all(len(row) == len(self.header) for row in self.rows), "a row of another width than its header"


@dataclass(frozen=True, kw_only=True)
class Code:
    """Text that keeps its lines: a picture in characters, generated text, a command."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Picture:
    """Coloured characters that read without the colours too."""

    text: Text


@dataclass(frozen=True, kw_only=True)
class Figure:
    """An image beside the report."""

    file_name: str
    caption: str


Block = str | Grid | Code | Picture | Figure


@dataclass(frozen=True, kw_only=True)
class Section:
    """A title and what stands under it, in order."""

    title: str
    blocks: tuple[Block, ...]


def to_markdown(sections: Sequence[Section], *, title: str) -> str:
    parts = [f"# {title}"]
    for section in sections:
        parts.append(f"## {section.title}")
        parts.extend(_block(block) for block in section.blocks)
    return "\n\n".join(parts) + "\n"


def _block(block: Block) -> str:
    match block:
        case str():
            return block
        case Grid():
            rule = ("---", *["---" if block.left else "---:"] * (len(block.header) - 1))
            return "\n".join(
                "| " + " | ".join(_cell(c) for c in row) + " |" for row in (block.header, rule, *block.rows)
            )
        case Picture():
            return _block(Code(text=block.text.plain))
        case Code():
            # A fence longer than any run of backticks inside cannot be closed by the text it holds.
            fence = "```"
            while fence in block.text:
                fence += "`"
            return f"{fence}text\n{block.text}\n{fence}"
        case Figure():
            return f"![{block.caption}]({block.file_name})"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
