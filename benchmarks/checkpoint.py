"""How long a checkpoint keeps training waiting: `python -m benchmarks.checkpoint`.

The 124 M shape in the real `Trainer`, one row of 256 tokens per update, a checkpoint after every fifth update, in two
manners that take turns: beside the training, as `batchwright train` does it, and with the step waiting until all is on
the disk. What training waits is told by an observer of its updates, not by the writer: from the end of one to the
beginning of the next, with a checkpoint due in between; less the median of the gaps without. It is given on the clock,
and in CPU-seconds of the thread that trains, which a loaded machine changes less. Printed beside it: how long after its
step a checkpoint is committed, and what the updates during which one is written take, to the others.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from torch import Tensor

from batchwright.foundation.units import MiB
from batchwright.sequences.index_build import build_index
from batchwright.sequences.plan import Plan
from batchwright.tokens.store import TokenStore
from batchwright.training.checkpoint import read_progress
from batchwright.training.config import TrainingConfig
from batchwright.training.step import StepRecord
from batchwright.training.trainer import CHECKPOINTS_NAME, Trainer
from benchmarks.corpora import CORPORA
from benchmarks.training.corpus import write_corpus
from benchmarks.training.ours import model_config
from benchmarks.training.shapes import GPT2, Work

WORK = Work(shape=GPT2, sequence_length=256, micro_batch_size=1, accumulation=1, steps=1)


class WaitingTrainer(Trainer):
    """The same, but every checkpoint is on the disk before the next step."""

    def _save(self, run: Any, *, wait: bool = False) -> None:
        super()._save(run, wait=True)


MANNERS = {"beside the training": Trainer, "the step waits": WaitingTrainer}


@dataclass(frozen=True, kw_only=True)
class Moment:
    """On the clock, and in the life of the thread that trains; seconds."""

    clock: float = field(default_factory=time.time)
    cpu: float = field(default_factory=time.thread_time)

    def __sub__(self, earlier: "Moment") -> "Moment":
        return Moment(clock=self.clock - earlier.clock, cpu=self.cpu - earlier.cpu)


@dataclass(kw_only=True)
class Watch:
    """An observer of one run's updates: when they began and ended, and when its checkpoints were committed."""

    checkpoints: Path
    every: int
    begun: dict[int, Moment] = field(default_factory=dict)
    ended: dict[int, Moment] = field(default_factory=dict)
    committed: dict[int, float] = field(default_factory=dict)
    sizes: list[int] = field(default_factory=list)

    def wants(self, step: int) -> bool:
        """Called when an update begins; its gradients are not asked for."""
        self.begun[step] = Moment()
        return False

    def on_micro_batch(self, gradients: Mapping[str, Tensor], targets: int, step_targets: int) -> None:
        raise AssertionError("nobody asked")

    def on_step(self, record: StepRecord) -> None:
        self.look()
        self.ended[record.step] = Moment()

    def look(self) -> None:
        """Note what has been committed since; `state.json` is written last, just before the directory is renamed."""
        for path in self.checkpoints.glob("step-*"):
            step = int(path.name.removeprefix("step-"))
            if step not in self.committed:
                self.committed[step] = (path / "state.json").stat().st_mtime
                self.sizes.append(sum(file.stat().st_size for file in path.iterdir()))

    @property
    def due(self) -> list[int]:
        """The steps with a checkpoint behind them and another step behind that."""
        return [step for step in self.ended if step % self.every == 0 and step + 1 in self.begun]

    def gap(self, step: int) -> Moment:
        return self.begun[step + 1] - self.ended[step]

    def waits(self) -> list[Moment]:
        """What each checkpoint kept the training waiting."""
        # Not the first gap: the buffers are made ready in it.
        others = [self.gap(step) for step in self.ended if step > 1 and step % self.every and step + 1 in self.begun]
        usual = Moment(clock=median(gap.clock for gap in others), cpu=median(gap.cpu for gap in others))
        return [self.gap(step) - usual for step in self.due]

    def delays(self) -> list[float]:
        """From each checkpoint's step to its commit."""
        return [self.committed[step] - self.ended[step].clock for step in self.due]

    def is_writing_in(self, step: int) -> bool:
        """Whether an earlier step's checkpoint was being written during this one."""
        begun, ended = self.begun[step].clock, self.ended[step].clock
        return any(self.ended[due].clock < ended and begun < self.committed[due] for due in self.due)

    def updates(self, *, writing: bool) -> list[float]:
        """Seconds of the updates that a write fell into, or of the others but the first, which warms up."""
        steps = [step for step in sorted(self.ended)[1:] if self.is_writing_in(step) == writing]
        return [(self.ended[step] - self.begun[step]).clock for step in steps]


def train(manner: type[Trainer], directory: Path, *, checkpoints: int, every: int, threads: int) -> Watch:
    """A run of its own, watched; its last checkpoint is read back and checked byte by byte."""
    corpus = write_corpus(CORPORA / f"training-{GPT2.vocabulary_size}", GPT2.vocabulary_size, 2_000_000)
    index = build_index(TokenStore.open(corpus.store), sequence_length=WORK.sequence_length)
    watch = Watch(checkpoints=directory / CHECKPOINTS_NAME, every=every)
    trainer = manner(
        model_config=model_config(WORK, "rotary"),
        training_config=TrainingConfig(
            global_batch_size=WORK.global_batch_size,
            micro_batch_size=WORK.micro_batch_size,
            sequence_length=WORK.sequence_length,
            tokens=(checkpoints + 1) * every * WORK.tokens_per_step,
            checkpoint_every_tokens=every * WORK.tokens_per_step,
            learning_rate=3e-4,
            threads=threads,
        ),
        plan=Plan.of(index),
        run_directory=directory,
        observers=[watch],
    )
    trainer.run()
    watch.look()
    read_progress(watch.checkpoints / f"step-{(checkpoints + 1) * every}")
    return watch


def row(name: str, watches: Sequence[Watch]) -> str:
    """A line of the table."""
    waits = [wait for watch in watches for wait in watch.waits()]
    delays = [seconds for watch in watches for seconds in watch.delays()]
    meanwhile, otherwise = (
        [seconds for watch in watches for seconds in watch.updates(writing=writing)] for writing in (True, False)
    )
    cells = (
        name,
        str(len(waits)),
        f"{max(size for watch in watches for size in watch.sizes) / MiB:,.0f}",
        *(f"{value:.2f}" for value in (median(wait.clock for wait in waits), max(wait.clock for wait in waits))),
        *(f"{value:.2f}" for value in (median(wait.cpu for wait in waits), max(wait.cpu for wait in waits))),
        f"{median(delays):.1f}",
        f"{median(otherwise):.2f}",
        f"{median(meanwhile):.2f}" if meanwhile else "",
    )
    return f"| {' | '.join(cells)} |"


def main(arguments: Sequence[str] = ()) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.checkpoint", description=__doc__)
    parser.add_argument("--rounds", type=int, default=2, help="runs of each manner")
    parser.add_argument("--checkpoints", type=int, default=3, help="in each run")
    parser.add_argument("--every", type=int, default=5, help="updates from one to the next")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--directory", type=Path, default=CORPORA, help="on the disk to be written to")
    options = parser.parse_args(list(arguments))
    options.directory.mkdir(parents=True, exist_ok=True)
    watches: dict[str, list[Watch]] = {name: [] for name in MANNERS}
    before = os.getloadavg()[0]
    for turn in range(options.rounds):
        for name, manner in MANNERS.items():
            with tempfile.TemporaryDirectory(dir=options.directory, prefix="run-") as directory:
                watches[name].append(
                    train(
                        manner,
                        Path(directory),
                        checkpoints=options.checkpoints,
                        every=options.every,
                        threads=options.threads,
                    )
                )
            print(f"{name}: round {turn + 1}, load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)
    print(
        f"{WORK.name}, fp32, AdamW, {options.threads} thread(s); load {before:.1f} before, {os.getloadavg()[0]:.1f} "
        f"after, {os.cpu_count()} cores\n"
    )
    columns = (
        *(
            "checkpoint",
            "number",
            "MiB",
            "training waits, s",
            "longest",
            "CPU-s of it",
            "longest",
            "committed after, s",
        ),
        *("an update, s", "while writing, s"),
    )
    print(f"| {' | '.join(columns)} |\n|---|{'--:|' * (len(columns) - 1)}")
    for name, of_manner in watches.items():
        print(row(name, of_manner))


if __name__ == "__main__":
    main(sys.argv[1:])
