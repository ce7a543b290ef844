"""The main job on real text, end to end, in chapters: text, one batch, training, what the batch size does, a report.

Guarantee: every chapter's result is kept in the output directory and found again, so a second call is done in seconds
and an interrupted one goes on; every number shown was measured on this text on this machine. Price: minutes on two
cores and under 2 GB with the standard library's 10–32 MB.

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

from batchwright.documents.inputs import InputFile, Source, discover
from batchwright.engines.local import available_cores
from batchwright.foundation.errors import InputError
from batchwright.foundation.files import WriterLock, read_json, translated, write_atomic, write_json
from batchwright.foundation.fingerprint import fingerprint, hash_file
from batchwright.model.config import ModelConfig
from batchwright.recipe import DataRecipe, Recipe
from batchwright.tokens.build import Progress
from batchwright.training.config import TrainingConfig
from batchwright.workflows.prepare import prepare, summary
from batchwright.workflows.section import Figure, Section, to_markdown
from batchwright.workflows.stages import Stages
from batchwright.workflows.standard_library import standard_library, standard_library_place
from batchwright.workflows.strings import Say
from batchwright.workflows.telling.batch_size import tell_memory, tell_noise, tell_throughput
from batchwright.workflows.telling.demo_report import tell_making, tell_sample
from batchwright.workflows.telling.one_batch import batch_section, tell_geometry
from batchwright.workflows.telling.sweep import tell_sweep
from batchwright.workflows.telling.text_to_tokens import tell_text_to_tokens
from batchwright.workflows.telling.training_run import tell_training

Json = dict[str, Any]

MARK, FORMAT = "demo.json", "batchwright-demo"
OURS = (MARK, "store", "run", "sweep", "stages", "loss.png", "report.md")
VOCABULARY_SIZE = 2048
VALIDATION_FRACTION = 0.02
MICRO_BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64)
SPEED_SECONDS = 15.0
BATCH_SIZES = (4, 32, 256)  # a small, a middle and a large one, at the same number of tokens
SEEDS = (0, 1)
SWEEP_TOKENS = 400_000
PICTURE_ROWS, PICTURE_STEPS = 8, 64
MOST_THREADS = 4  # a model this small gives more threads nothing to do


class Heard(Protocol):
    """Told how much is done, of how much, with a word beside it."""

    def __call__(self, done: float, total: float | None = None, note: str = "") -> None: ...


@dataclass(frozen=True, kw_only=True)
class Chapter:
    """One stage: how its result is made, on what it depends, and how it is told."""

    name: str
    depends: Any
    run: Callable[[Heard], Json]
    tell: Callable[[Json, Say, int], Section]


def demo_recipe(store: str) -> Recipe:
    """The demo's run; `recipes/demo.toml` is the same (a test holds them together)."""
    return Recipe(
        data=DataRecipe(store=store),
        model=ModelConfig(
            vocabulary_size=VOCABULARY_SIZE, sequence_length=128, width=64, layers=4, heads=4, feed_forward_width=128
        ),
        training=TrainingConfig(
            global_batch_size=32,
            micro_batch_size=8,
            sequence_length=128,
            tokens=2_000_000,
            learning_rate=4e-3,
            warmup_tokens=100_000,
            evaluate_every_tokens=250_000,
            evaluate_sequences=256,
            checkpoint_every_tokens=500_000,
        ),
    )


class Demo:
    """One output directory's demo. Enter it (it takes the directory's lock), then go through `chapters` in order."""

    def __init__(self, out: Path, *, text: Path | None = None, restart: bool = False) -> None:
        self.out = out
        self._source = standard_library() if text is None else Source(name="text", paths=(str(text),))
        self._place = standard_library_place() if text is None else str(text)
        self._kind = "standard_library" if text is None else "given"
        if restart and (out / MARK).exists():
            self._clear()
        self.recipe = demo_recipe(str(out / "store"))
        self.stages = Stages(out / "stages")
        self.lock = WriterLock(out)

    def claim(self) -> None:
        """Say what this directory is a demo of; refuse one that is of something else."""
        with translated(self.out):
            self.out.mkdir(parents=True, exist_ok=True)
            foreign = [path.name for path in self.out.iterdir() if path.name != ".lock"]
        mark = {"format": FORMAT, "text": self.text_key}
        if not (self.out / MARK).exists():
            if foreign:
                raise InputError(
                    f"the directory holds other things ({sorted(foreign)[0]}), and no demo",
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
        return discover([self._source])

    @cached_property
    def text_key(self) -> str:
        """Names the text by its files' paths, sizes and times: a second, not a second reading."""
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
        """report.md: what was told, and how it was made."""
        path = self.out / "report.md"
        making = tell_making(self.making(command), say)
        write_atomic(path, to_markdown([*sections, making], title=say("report.title")).encode())
        return path

    def making(self, command: str) -> Json:
        """Where the numbers come from: input hashes, versions, commands."""
        from batchwright.workflows.machine import examine_machine, packages

        inputs = self.out / "store" / "inputs.jsonl"
        return {
            "command": command,
            "inputs": {"files": len(self.files), "bytes": sum(f.size for f in self.files)},
            "inputs_xxh3": hash_file(inputs)[1],
            "store": summary_of(self.out / "store")["fingerprint"],
            "versions": packages(),
            "machine": {c.name: c.value for c in examine_machine(self.out) if c.name in ("python", "system", "cores")},
            "recipe": self.recipe.to_toml(),
        }

    def _clear(self) -> None:
        """Remove what a demo wrote, and nothing else."""
        with WriterLock(self.out), translated(self.out):
            for name in OURS:
                path = self.out / name
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)

    # Chapters

    def chapters(self) -> list[Chapter]:
        recipe = self.recipe
        text = {"text": self.text_key, "vocabulary": VOCABULARY_SIZE, "validation": VALIDATION_FRACTION}
        run = {
            **text,
            "model": recipe.model.to_dict(),
            "training": recipe.training.same_run(),
            "data": recipe.data.seed,
        }
        return [
            Chapter(name="text", depends=text, run=self._text, tell=lambda r, say, _: tell_text_to_tokens(r, say)),
            Chapter(name="batch", depends=[text, PICTURE_ROWS], run=self._batch, tell=self._tell_batch),
            Chapter(name="training", depends=run, run=self._training, tell=self._tell_training),
            Chapter(
                name="throughput",
                depends=[run, MICRO_BATCH_SIZES],
                run=self._throughput,
                tell=lambda r, say, _: tell_throughput(r, say),
            ),
            Chapter(name="memory", depends=run, run=self._memory, tell=lambda r, say, _: tell_memory(r, say)),
            Chapter(name="noise", depends=run, run=self._noise, tell=lambda r, say, _: tell_noise(r, say)),
            Chapter(
                name="sweep", depends=[run, BATCH_SIZES, SEEDS, SWEEP_TOKENS], run=self._sweep, tell=self._tell_sweep
            ),
            Chapter(name="sample", depends=run, run=self._sample, tell=lambda r, say, _: tell_sample(r, say)),
        ]

    def _text(self, heard: Heard) -> Json:
        began = time.monotonic()
        first: list[float] = []

        def progress(step: Progress) -> None:
            first.append(time.monotonic())
            heard(step.done, step.total, note=step.phase)

        heard(0, None, note="vocabulary")
        store = prepare(
            [self._source],
            self.out / "store",
            tokenizer=f"train:{VOCABULARY_SIZE}",
            workers=1,
            validation_fraction=VALIDATION_FRACTION,
            errors="skip",  # the library's own tests hold files that are no UTF-8 on purpose: dropped, and counted
            progress=progress,
        )
        described = summary(store)
        return {
            "text": {
                "kind": self._kind,
                "place": self._place,
                "files": len(self.files),
                "bytes": sum(f.size for f in self.files),
            },
            "store": described,
            "tally": described["tally"],
            "vocabulary_seconds": (first[0] if first else time.monotonic()) - began,
            "place": str(self.out / "store"),
        }

    def _batch(self, heard: Heard) -> Json:
        from batchwright.workflows.look import liveliest_step

        step, ledger = liveliest_step(
            self.out / "store",
            rows=PICTURE_ROWS,
            sequence_length=self.recipe.training.sequence_length,
            steps=PICTURE_STEPS,
            seed=self.recipe.data.seed,
        )
        return {"step": step, "ledger": ledger}

    def _tell_batch(self, result: Json, say: Say, width: int) -> Section:
        from batchwright.workflows.look import look_at_batch

        training, model = self.recipe.training, self.recipe.model
        view, _ = look_at_batch(
            self.out / "store",
            rows=PICTURE_ROWS,
            sequence_length=training.sequence_length,
            step=result["step"],
            seed=self.recipe.data.seed,
        )
        return batch_section(
            view,
            result["ledger"],
            width=width,
            model_width=model.width,
            vocabulary_size=model.vocabulary_size,
            searched=PICTURE_STEPS,
            say=say,
        )

    def _training(self, heard: Heard) -> Json:
        from batchwright.measuring.noise_monitor import NoiseMonitor
        from batchwright.training.step import StepRecord
        from batchwright.workflows.observe import describe_noise, on_threads
        from batchwright.workflows.train import geometry_of, records_of, train

        monitor = NoiseMonitor()

        def on_record(record: object) -> None:
            if isinstance(record, StepRecord):
                heard(record.tokens, self.recipe.training.tokens, note=f"loss {record.loss:.2f}")

        with on_threads(self.threads):
            train(self.recipe, self.out / "run", observers=[monitor], on_record=on_record)
        steps, evaluations = records_of(self.out / "run")
        model = self.recipe.model
        return {
            "steps": steps,
            "evaluations": evaluations,
            "parameters": model.parameter_count(),
            "vocabulary_size": model.vocabulary_size,
            "shape": f"D = {model.width}, L = {model.layers}, H = {model.heads}, F = {model.feed_forward_width}",
            "training_seconds": sum(step["seconds"] for step in steps),
            "noise": describe_noise(monitor, batch_tokens=geometry_of(self.recipe).tokens_per_step, drifting=True),
        }

    def _tell_training(self, result: Json, say: Say, width: int) -> Section:
        from batchwright.workflows.train import geometry_of

        return tell_training(result, tell_geometry(geometry_of(self.recipe), say), say)

    def _throughput(self, heard: Heard) -> Json:
        from batchwright.workflows.observe import observe_speed, on_threads

        heard(0, None, note=", ".join(map(str, MICRO_BATCH_SIZES)))
        with on_threads(self.threads):
            return observe_speed(
                self.recipe.model, self.recipe.training, micro_batch_sizes=MICRO_BATCH_SIZES, seconds=SPEED_SECONDS
            )

    def _memory(self, heard: Heard) -> Json:
        from batchwright.workflows.observe import observe_memory, on_threads

        with on_threads(self.threads):
            return observe_memory(
                self.recipe.model,
                self.recipe.training,
                rows=(1, 4, 16, 64),
                lengths=(64, 128, 256, 512),
                widths=(32, 64, 128, 256),
                progress=lambda done, total: heard(done, total),
            )

    def _noise(self, heard: Heard) -> Json:
        return self.stages.read("training")["noise"]

    def _sweep(self, heard: Heard) -> Json:
        from batchwright.workflows.plots import plot_sweep
        from batchwright.workflows.sweep import sweep

        result = sweep(
            self.recipe,
            self.out / "sweep",
            batch_sizes=BATCH_SIZES,
            seeds=SEEDS,
            tokens=SWEEP_TOKENS,
            heard=heard,
        )
        plot_sweep(result["runs"], self.out / "loss.png")
        return result

    def _tell_sweep(self, result: Json, say: Say, width: int) -> Section:
        section = tell_sweep(result, say)
        figure = Figure(file_name="loss.png", caption=say("sweep.figure"))
        return Section(title=section.title, blocks=(*section.blocks, figure))

    def _sample(self, heard: Heard) -> Json:
        from batchwright.workflows.sample import sample_text

        return sample_text(self.out / "run", self.out / "store", heard=heard)

    @property
    def threads(self) -> int:
        return min(MOST_THREADS, available_cores())


def summary_of(store: Path) -> Json:
    from batchwright.tokens.store import TokenStore

    return summary(TokenStore.open(store))
