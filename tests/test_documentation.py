"""What the documentation shows is what happens: every `python` block is run, in order, page by page.

A block with `>>>` must print what stands under it. Any other one must run, and print what a `text` block directly after
it shows. A block that cannot be run here is marked, with the reason, by the line before it:
`<!-- not run: needs a GPU -->`. Pages are run in an empty directory that holds a copy of `docs`.
"""

import doctest
import io
import re
import shutil
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[1]
PAGES = [*sorted(REPOSITORY.glob("README*.md")), *sorted((REPOSITORY / "docs").rglob("*.md"))]
BLOCK = re.compile(
    r"(?:^<!-- not run: (?P<reason>.+?) -->\n)?^```python[^\n]*\n(?P<code>.*?)^```$"
    r"(?:\n\n```text\n(?P<printed>.*?)^```$)?",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True, kw_only=True)
class CodeBlock:
    """One block, the line of the page on which its code begins, and what the page says that it prints."""

    code: str
    line: int
    reason: str | None
    printed: str | None


def python_blocks(page: str) -> list[CodeBlock]:
    return [
        CodeBlock(
            code=found["code"],
            line=page[: found.start("code")].count("\n") + 1,
            reason=found["reason"],
            printed=found["printed"],
        )
        for found in BLOCK.finditer(page)
    ]


def failures(page: str, name: str) -> Iterator[str]:
    """What each block of a page does otherwise than it says. Blocks share their names."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in python_blocks(page):
        if block.reason is not None:
            continue
        yield from (_differences if ">>> " in block.code else _prints_otherwise)(block, names, name)


def _prints_otherwise(block: CodeBlock, names: dict[str, Any], name: str) -> Iterator[str]:
    with redirect_stdout(io.StringIO()) as out:
        exec(compile("\n" * (block.line - 1) + block.code, name, "exec"), names)
    if block.printed is not None and out.getvalue() != block.printed:
        yield f"{name}, line {block.line}: the page shows\n{block.printed}the code prints\n{out.getvalue()}"


def _differences(block: CodeBlock, names: dict[str, Any], name: str) -> Iterator[str]:
    test = doctest.DocTestParser().get_doctest(block.code, names, name, name, block.line - 1)
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.FAIL_FAST | doctest.NORMALIZE_WHITESPACE)
    runner.run(test, out=said.append, clear_globs=False)
    names.update(test.globs)
    if said:
        yield "".join(said)


PAGES_WITH_CODE = [page for page in PAGES if page.exists() and python_blocks(page.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("page", PAGES_WITH_CODE, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_a_page_shows_what_happens(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(REPOSITORY / "docs", tmp_path / "docs")
    monkeypatch.chdir(tmp_path)
    assert list(failures(page.read_text(encoding="utf-8"), str(page.relative_to(REPOSITORY)))) == []


def test_there_are_pages_with_code() -> None:
    assert REPOSITORY / "docs" / "concepts" / "a-batch.md" in PAGES_WITH_CODE


def test_a_page_that_shows_another_number_is_caught() -> None:
    page = "# Sum\n\n```python\n>>> a = 1\n\n```\n\nand\n\n```python\n>>> a + 1\n3\n```\n"
    (said,) = failures(page, "sum.md")
    assert "line 11" in said
    assert "Got:\n    2" in said
    page = "```python\nprint(1)\n```\n\n```text\n2\n```\n"
    (said,) = failures(page, "print.md")
    assert said == "print.md, line 2: the page shows\n2\nthe code prints\n1\n"
    assert list(failures(page.replace("2", "1"), "print.md")) == []
    with pytest.raises(ZeroDivisionError):
        list(failures("```python\n1 / 0\n```\n", "broken.md"))


def test_only_a_block_with_a_reason_is_left_out() -> None:
    page = "<!-- not run: needs a GPU -->\n```python\n1 / 0\n```\n\n```text\n1 / 0\n```\n"
    assert [block.reason for block in python_blocks(page)] == ["needs a GPU"]
    assert list(failures(page, "left-out.md")) == []
