"""How a verb speaks: in which language, to people or to programs, with or without colour.

Guarantees: answers go to stdout and progress to stderr; with `--json` stdout holds one JSON object and nothing else;
on a terminal progress is a bar with the time left, elsewhere a plain line at most every few seconds. Price: rich,
about 60 ms.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol

import orjson
from cyclopts import Parameter
from rich.console import Console, RenderableType

from batchwright.cli.prose import Prose
from batchwright.workflows.strings import Say, choose_language

PLAIN_LINE_SECONDS = 5.0


class Advance(Protocol):
    """Called with how much is done, how much there is, and a few words beside the bar."""

    def __call__(self, done: float, total: float | None = None, note: str = "") -> None: ...


@dataclass(frozen=True, kw_only=True)
class _Options:
    json: Annotated[bool, Parameter(negative=())] = False
    """One JSON object on stdout instead of tables."""
    lang: Literal["auto", "en", "zh"] = "auto"
    """Language of what is said; auto follows the locale."""


@Parameter(name="*", group="Output")
@dataclass(frozen=True, kw_only=True)
class Face(_Options):
    """Options that every verb takes."""

    @property
    def say(self) -> Say:
        return Say(choose_language(self.lang))

    @property
    def out(self) -> Console:
        return console_on(sys.stdout)

    @property
    def err(self) -> Console:
        return console_on(sys.stderr)

    def show(self, *renderables: RenderableType) -> None:
        """For people only; silent under `--json`."""
        if not self.json:
            for each in renderables:
                self.out.print(Prose(each) if isinstance(each, str) else each)

    def answer(self, value: Any, *renderables: RenderableType) -> None:
        """The verb's one answer: the JSON object, or the renderables."""
        if self.json:
            sys.stdout.write(orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY).decode() + "\n")
        else:
            self.show(*renderables)

    @contextmanager
    def progress(self, title: str, unit: Callable[[float], str] = lambda n: f"{n:,.0f}") -> Iterator[Advance]:
        if self.err.is_terminal:
            with _bar(self.err, title, unit, self.say) as advance:
                yield advance
        else:
            yield _PlainProgress(self.err, title, unit, self.say)


class Silent(Face):
    """Says nothing: of many ranks, one speaks."""

    def show(self, *renderables: RenderableType) -> None:
        return None

    def answer(self, value: Any, *renderables: RenderableType) -> None:
        return None

    @contextmanager
    def progress(self, title: str, unit: Callable[[float], str] = lambda n: f"{n:,.0f}") -> Iterator[Advance]:
        yield lambda done, total=None, note="": None


PEOPLE = Face()
"""The default: tables for people, in the language of the locale."""


class _Stage:
    """What is being counted now: another total, or less done than before, is another stage, with a clock of its own."""

    def __init__(self) -> None:
        self._began, self._from, self._done, self._total = time.monotonic(), 0.0, 0.0, 0.0

    def rate(self, done: float, total: float | None) -> float | None:
        """How much per second since the stage began; None before there is anything to go by."""
        if done < self._done or self._total not in (0.0, total or 0.0):
            self._began, self._from = time.monotonic(), done
        self._done, self._total = done, total or 0.0
        seconds = time.monotonic() - self._began
        return (done - self._from) / seconds if seconds > 0 and done > self._from else None


class _PlainProgress:
    """A line when something begins, at most one per few seconds, and one when it is complete."""

    def __init__(self, console: Console, title: str, unit: Callable[[float], str], say: Say) -> None:
        self._console, self._title, self._unit, self._say = console, title, unit, say
        self._spoke, self._stage = time.monotonic(), _Stage()
        self._console.print(f"{title} …", markup=False)

    def __call__(self, done: float, total: float | None = None, note: str = "") -> None:
        rate, now = self._stage.rate(done, total), time.monotonic()
        if now - self._spoke < PLAIN_LINE_SECONDS:
            return
        self._spoke = now
        amount = ""
        if total:
            amount = self._unit(done) + self._say("progress.of", total=self._unit(total), share=f"{done / total:.0%}")
            if rate:
                amount += self._say("progress.rate", rate=self._unit(rate))
                amount += self._say("progress.seconds_left", seconds=f"{(total - done) / rate:,.0f}")
        self._console.print("  ".join(filter(None, (f"{self._title}: {amount}".rstrip(), note))), markup=False)


@contextmanager
def _bar(console: Console, title: str, unit: Callable[[float], str], say: Say) -> Iterator[Advance]:
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[amount]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn(say("progress.left")),
        TextColumn("{task.fields[note]}", style="dim"),
    )
    with Progress(*columns, console=console, transient=True, refresh_per_second=8) as progress:
        task, stage = progress.add_task(title, total=None, amount="", note=""), _Stage()

        def advance(done: float, total: float | None = None, note: str = "") -> None:
            progress.tasks[0].total = total  # `update` cannot take a total back
            rate = stage.rate(done, total)
            speed = say("progress.rate", rate=unit(rate)) if total and rate else ""
            amount = f"{unit(done)} / {unit(total)}{speed}" if total else ""
            progress.update(task, completed=done, amount=amount, note=note)

        yield advance


class _Console(Console):
    """A reader that goes away raises, so that the border decides what it means (rich itself would exit with 1)."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def console_on(stream: Any) -> Console:
    """A console on `stream`; without a terminal to ask, $COLUMNS or 120 (tables stay readable in a file)."""
    columns = os.environ.get("COLUMNS", "")
    width = None if stream.isatty() else int(columns) if columns.isdecimal() and int(columns) >= 20 else 120
    return _Console(file=stream, width=width, highlight=False, soft_wrap=False)
