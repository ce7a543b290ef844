"""The demo's directory: what it is a demo of, which chapters are done, the report that gathers them.

Guarantee: every chapter's result is kept and found again, so a second call is done in seconds and an interrupted one
goes on; a directory that holds something else, or a demo of other text, is refused and not touched.

    demo/  demo.json    what it was made from         store/   the token store       loss.png
           stages/      one result per chapter        run/     the training run      report.md
           sweep/       one result per comparison
"""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from batchwright.documents.inputs import InputFile, TextSource, discover
from batchwright.foundation.errors import InputError
from batchwright.foundation.files import WriterLock, read_json, translated, write_atomic, write_json
from batchwright.foundation.fingerprint import fingerprint, hash_file
from batchwright.model.config import ModelConfig
from batchwright.recipe import DataRecipe, Recipe
from batchwright.tokens.store import TokenStore
from batchwright.training.config import TrainingConfig
from batchwright.workflows.machine import examine_machine, packages
from batchwright.workflows.section import Section, to_markdown
from batchwright.workflows.stages import Stages
from batchwright.workflows.standard_library import standard_library, standard_library_place
from batchwright.workflows.strings import Say
from batchwright.workflows.telling.demo_report import tell_making

Json = dict[str, Any]

MARK, FORMAT = "demo.json", "batchwright-demo"
OURS = (MARK, "store", "run", "sweep", "stages", "loss.png", "report.md")

MODEL = ModelConfig(vocabulary_size=2048, sequence_length=128, width=64, layers=4, heads=4, feed_forward_width=128)
TRAINING = TrainingConfig(
    global_batch_size=32,
    micro_batch_size=8,
    sequence_length=128,
    tokens=2_000_000,
    learning_rate=4e-3,
    warmup_tokens=100_000,
    evaluate_every_tokens=250_000,
    evaluate_sequences=256,
    checkpoint_every_tokens=500_000,
)


class Heard(Protocol):
    """Told how much is done, of how much, with a word beside it."""

    def __call__(self, done: float, total: float | None = None, note: str = "") -> None: ...


@dataclass(frozen=True, kw_only=True)
class Chapter:
    """One stage: how its result is made, on what it depends, and how it is told (in a language, for a width)."""

    name: str
    depends: Any
    run: Callable[[Heard], Json]
    tell: Callable[[Json, Say, int], Section]


@dataclass(frozen=True, kw_only=True)
class DemoSettings:
    """How much of everything. The defaults take minutes on two cores; a test takes seconds."""

    model: ModelConfig = MODEL
    training: TrainingConfig = TRAINING
    validation_fraction: float = 0.02
    picture_rows: int = 8
    picture_steps: int = 512  # among so many first batches the one that shows most is drawn
    micro_batch_sizes: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
    speed_seconds: float = 15.0
    memory_rows: tuple[int, ...] = (1, 4, 16, 64)
    memory_lengths: tuple[int, ...] = (64, 128, 256, 512)
    memory_widths: tuple[int, ...] = (32, 64, 128, 256)
    sweep_batch_sizes: tuple[int, ...] = (1, 8, 64)  # a small, a middle and a large one, at the same number of tokens
    sweep_reference: int = 8
    sweep_learning_rate: float = 0.01  # better than 0.005 on one seed each; not studied further
    sweep_seeds: tuple[int, ...] = (0, 1)
    sweep_tokens: int = 400_000

    def recipe(self, store: str) -> Recipe:
        """The demo's run; with the defaults `recipes/demo.toml` is the same (a test holds them together)."""
        return Recipe(data=DataRecipe(store=store), model=self.model, training=self.training)


class Demo:
    """One output directory. `claim` it, hold its `lock`, then complete the chapters in order."""

    def __init__(
        self,
        out: Path,
        *,
        text: Path | None = None,
        restart: bool = False,
        settings: DemoSettings | None = None,
    ) -> None:
        self.out = out
        self.settings = DemoSettings() if settings is None else settings
        self.store, self.run, self.sweep = out / "store", out / "run", out / "sweep"
        self.source = standard_library() if text is None else TextSource(name="text", paths=(str(text),))
        self.place = standard_library_place() if text is None else str(text)
        self.kind = "standard_library" if text is None else "given"
        if restart and (out / MARK).exists():
            self._clear()
        self.recipe = self.settings.recipe(str(self.store))
        self.stages = Stages(out / "stages")
        self.lock = WriterLock(out)

    def claim(self) -> None:
        """Say what this directory is a demo of; refuse one that is of something else."""
        with translated(self.out):
            self.out.mkdir(parents=True, exist_ok=True)
            foreign = sorted(path.name for path in self.out.iterdir() if path.name != ".lock")
        mark = {"format": FORMAT, "text": self.text_key}
        if not (self.out / MARK).exists():
            if foreign:
                raise InputError(
                    f"the directory holds other things ({foreign[0]}), and no demo",
                    where=str(self.out),
                    remedy="choose another directory with --out",
                )
            write_json(self.out / MARK, mark)
        elif read_json(self.out / MARK) != mark:
            raise InputError(
                "this directory holds a demo of other text, or the text has changed since",
                where=str(self.out),
                remedy="--restart to begin anew, or another directory with --out",
            )

    @cached_property
    def files(self) -> list[InputFile]:
        return discover([self.source])

    @cached_property
    def text_key(self) -> str:
        """Names the text by its files' paths, sizes and times: milliseconds, where reading it takes a second."""
        return fingerprint([[f.path, f.size, Path(f.location).stat().st_mtime_ns] for f in self.files])

    def complete(self, chapter: Chapter, heard: Heard) -> Json:
        """The chapter's result, kept or made now; `seconds` is what making it took."""

        def timed() -> Json:
            began = time.monotonic()
            result = chapter.run(heard)
            return {**result, "seconds": time.monotonic() - began}

        return self.stages.done(chapter.name, chapter.depends, timed)

    def is_done(self, chapter: Chapter) -> bool:
        return self.stages.is_done(chapter.name, chapter.depends)

    def write_report(self, sections: list[Section], say: Say, *, command: str) -> Path:
        """report.md: what was told, and how it was made, by the first command that got this far."""
        path = self.out / "report.md"
        first = self.stages.done("command", self.text_key, lambda: {"command": command})
        making = tell_making(self._making(first["command"]), say)
        write_atomic(path, to_markdown([*sections, making], title=say("report.title")).encode())
        return path

    def _making(self, command: str) -> Json:
        """Where the numbers come from: input hashes, versions, commands."""
        return {
            "command": command,
            "inputs": {"files": len(self.files), "bytes": sum(f.size for f in self.files)},
            "inputs_xxh3": hash_file(self.store / "inputs.jsonl")[1],
            "store": TokenStore.open(self.store).fingerprint,
            "versions": packages(),
            "machine": {c.name: c.value for c in examine_machine(self.out) if c.name in ("python", "system", "cores")},
            "recipe": self.recipe.to_toml(),
        }

    def _clear(self) -> None:
        """Remove what a demo wrote, and nothing else."""
        with WriterLock(self.out), translated(self.out):
            for path in (self.out / name for name in OURS):
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)
