"""A verb speaks to people or to programs: answers on stdout, progress on stderr, in the language asked for."""

import json

import pytest
from rich.console import Console
from rich.text import Text

from batchwright.cli import face as faces
from batchwright.cli.face import Face
from batchwright.cli.paint import paint_section
from batchwright.workflows.section import Code, Figure, Grid, Picture, Section


def test_an_answer_is_one_line_of_json_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    face = Face(json=True)
    face.show("not for programs")
    face.answer({"text": "中\nb", "none": None, "number": 1.5}, "not for programs")
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert json.loads(out) == {"text": "中\nb", "none": None, "number": 1.5}


def test_progress_without_a_terminal_is_plain_lines_on_stderr_not_too_many(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(faces.time, "monotonic", lambda: now[0])
    with Face().progress("reading") as advance:
        for done in range(1, 101):
            now[0] = done / 10
            advance(done, 100, note="words")
    said = capsys.readouterr()
    assert said.out == ""
    lines = said.err.splitlines()
    assert lines[0] == "reading …"
    assert lines[1] == "reading: 50 of 100 (50%), 10/s, 5 s left  words"
    assert len(lines) == 3
    assert "\x1b" not in said.err


def test_every_stage_has_a_clock_of_its_own(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(faces.time, "monotonic", lambda: now[0])
    with Face().progress("work") as advance:
        for seconds, done, total in ((100.0, 10, 1000), (101.0, 5, 50), (111.0, 25, 50)):
            now[0] = seconds
            advance(done, total)
    assert capsys.readouterr().err.splitlines()[-1] == "work: 25 of 50 (50%), 2/s, 12 s left"


def test_progress_speaks_the_language_and_counts_only_what_has_a_total(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(faces.time, "monotonic", lambda: now[0])
    with Face(lang="zh").progress("读") as advance:
        now[0] = 6.0
        advance(50, 100)
        now[0] = 12.0
        advance(1, None, note="写入")
    assert capsys.readouterr().err.splitlines() == ["读 …", "读: 50，共 100（50%），每秒 8，还剩 6 秒", "读:  写入"]


def test_without_a_terminal_the_width_is_that_of_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Face().out.width == 120
    for columns, width in (("60", 60), ("", 120), ("wide", 120), ("1", 120)):
        monkeypatch.setenv("COLUMNS", columns)
        assert Face().out.width == width


def test_the_language_is_the_one_asked_for() -> None:
    assert Face(lang="zh").say("verify.title") == "校验"
    assert Face(lang="en").say("verify.title") == "checking"


def test_a_table_that_is_a_little_too_wide_gives_air_before_it_breaks_numbers() -> None:
    section = Section(title="", blocks=(Grid(header=("shape", *"abcd"), rows=(("8×128×64", *["169.28"] * 4),)),))
    console = Console(width=8 + 4 * 7, color_system=None)
    with console.capture() as captured:
        console.print(paint_section(section))
    assert "8×128×64 169.28 169.28 169.28 169.28" in captured.get()


def test_every_kind_of_block_is_painted_within_the_width() -> None:
    section = Section(
        title="Title",
        blocks=(
            "A sentence of several words that does not fit into one line of so few characters.",
            Grid(header=("name", "value"), rows=(("a", "1"), ("b", "2"))),
            Code(text="def f():\n    return 1"),
            Picture(text=Text("■ab·")),
            Figure(file_name="loss.png", caption="a figure"),
        ),
    )
    console = Console(width=40, color_system=None)
    with console.capture() as captured:
        console.print(paint_section(section))
    drawn = captured.get()
    assert max(len(line) for line in drawn.splitlines()) <= 40
    for piece in ("Title", "value", "    return 1", "■ab·", "loss.png"):
        assert piece in drawn
