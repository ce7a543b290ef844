"""The same training at several batch sizes and the same number of tokens, with and without the learning rate following
the batch.

Every run is one task (a pure function of model, training, data and seed), so a sweep that was interrupted goes on
where it was, any executor runs it, and no run is done twice. Each runs on one thread in its own process: on a small
model two single-threaded runs beside each other finish far sooner than two two-threaded ones after each other.

What a run means: the seed names the fresh weights *and* the row order, so that the spread between seeds is the spread
of the whole experiment. The budget in tokens is the same for all; the largest batch overshoots it by less than one
step. Warm-up and decay are in tokens, so no batch size is cheated of its schedule. Price: (batch sizes × seeds × 2 −
seeds) trainings of the reference's budget.
"""

import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from batchwright.foundation.errors import InputError
from batchwright.foundation.execution import Executor, Task
from batchwright.measuring.stability import Stability, stability_of
from batchwright.model.description import ModelDescription, description_of
from batchwright.planning.scaling_rules import Hyperparameters, scaled
from batchwright.sequences.index import SequenceIndex
from batchwright.sequences.plan import Plan
from batchwright.sequences.stored_tokens import StoredTokens
from batchwright.tokens.store import TokenStore
from batchwright.training.config import TrainingConfig
from batchwright.training.run_log import read_log
from batchwright.training.step import DivergedError
from batchwright.training.trainer import LOG_NAME, Trainer

RUN_FUNCTION = "batchwright.measuring.batch_sweep:train_once"


@dataclass(frozen=True, kw_only=True)
class BatchSweep:
    """What to compare. `training` is the reference: its batch, learning rate and the rest belong together."""

    model: ModelDescription
    training: TrainingConfig
    batch_sizes: tuple[int, ...]
    seeds: tuple[int, ...] = (0, 1)
    rule: str = "sqrt"
    """The learning rate's rule (planning.scaling_rules)."""
    co_scale: bool = False
    """Whether an adjusted run also scales β₂, weight decay and ε, as a bundle."""

    def __post_init__(self) -> None:
        if len(set(self.batch_sizes)) < 2 or len(set(self.seeds)) < 1 or min(self.batch_sizes) < 1:
            asked = f"{self.batch_sizes} over {self.seeds}"
            raise InputError(f"a sweep compares two or more batch sizes over at least one seed, not {asked}")

    def runs(self) -> tuple["SweepRun", ...]:
        """All trainings, the longest in steps first (so that no core is left with one at the end)."""
        wanted: list[SweepRun] = []
        for size in sorted(set(self.batch_sizes)):
            for adjusted in (False, True) if size != self.training.global_batch_size else (False,):
                wanted += [
                    SweepRun(adjusted=adjusted, training=self._training(size, adjusted, seed)) for seed in self.seeds
                ]
        return tuple(wanted)

    def _training(self, size: int, adjusted: bool, seed: int) -> TrainingConfig:
        reference = self.training
        at_size = replace(
            reference,
            global_batch_size=size,
            micro_batch_size=min(reference.micro_batch_size, size),
            seed=seed,
            threads=1,
            checkpoint_every_tokens=None,
        )
        if not adjusted:
            return at_size
        length = reference.sequence_length
        value = scaled(
            Hyperparameters(
                tokens_per_step=reference.global_batch_size * length,
                learning_rate=reference.learning_rate,
                beta1=reference.betas[0],
                beta2=reference.betas[1],
                epsilon=reference.epsilon,
                weight_decay=reference.weight_decay,
                tokens=reference.tokens,
            ),
            tokens_per_step=size * length,
            learning_rate=self.rule,
            scale_beta2=self.co_scale,
            scale_weight_decay=self.co_scale,
            scale_epsilon=self.co_scale,
        ).value
        return replace(
            at_size,
            learning_rate=value.learning_rate,
            betas=(value.beta1, value.beta2),
            epsilon=value.epsilon,
            weight_decay=value.weight_decay,
        )


@dataclass(frozen=True, kw_only=True)
class SweepRun:
    """One training to be done."""

    adjusted: bool
    training: TrainingConfig


@dataclass(frozen=True, kw_only=True)
class RunOutcome:
    """One training that was done. `losses` are per step, in nats per target token."""

    global_batch_size: int
    tokens_per_step: int
    adjusted: bool
    seed: int
    learning_rate: float
    losses: tuple[float, ...]
    evaluations: tuple[tuple[int, float], ...]
    """(tokens seen, validation loss), the last one at the end of the run."""
    validation_loss: float | None
    """At the end; None when the run diverged."""
    diverged_at_step: int | None
    stability: Stability
    wall_seconds: float
    cpu_seconds: float

    @property
    def steps(self) -> int:
        return len(self.losses)

    @property
    def tokens(self) -> int:
        return self.steps * self.tokens_per_step


def run_sweep(
    sweep: BatchSweep,
    *,
    plan: Plan,
    validation: SequenceIndex,
    output: Path,
    executor: Executor,
    on_outcome: Callable[[RunOutcome, int, int], None] | None = None,
) -> tuple[RunOutcome, ...]:
    """Runs what is missing under `output` and returns all runs, ordered by (batch size, adjusted, seed).

    `plan` gives the data; its seed is replaced by each run's own. `on_outcome(run, done, all)` reports progress.
    """
    largest = max(sweep.batch_sizes)
    if largest > plan.index.row_count:
        raise InputError(
            f"a batch of {largest} sequences is more than the {plan.index.row_count} rows there are",
            remedy="smaller batch sizes or more text",
        )
    tasks = {
        task.key: (run, task) for run in sweep.runs() for task in [_task(sweep.model, run, plan, validation, output)]
    }
    outcomes: list[RunOutcome] = []
    for task, manifest in executor.run([task for _, task in tasks.values()]):
        outcome = _outcome(tasks[task.key][0], manifest)
        outcomes.append(outcome)
        if on_outcome is not None:
            on_outcome(outcome, len(outcomes), len(tasks))
    return tuple(sorted(outcomes, key=lambda run: (run.global_batch_size, run.adjusted, run.seed)))


def train_once(parameters: Mapping[str, Any], prefix: Path) -> dict[str, Any]:
    """The task: one training from the beginning to the end of its budget, on one thread."""
    training = dict(parameters["training"])
    config = TrainingConfig(**{**training, "betas": tuple(training["betas"])})
    store = TokenStore.open(parameters["store"])
    directory = prefix.with_name(f"{prefix.name}.run")
    # A leftover of an interrupted task is begun anew, so that its seconds are those of a whole run.
    shutil.rmtree(directory, ignore_errors=True)
    trainer = Trainer(
        model_config=description_of(parameters["model"]),
        training_config=config,
        plan=Plan.of(_open_index(store, parameters["train_index"], "train"), seed=config.seed),
        run_directory=directory,
        validation=_open_index(store, parameters["validation_index"], "validation"),
    )
    wall, cpu = time.perf_counter(), time.process_time()
    diverged: int | None = None
    try:
        if trainer.run().reason == "interrupted":
            raise InputError("the sweep was interrupted", remedy="run it again: finished runs are kept")
    except DivergedError:
        diverged = sum(record["kind"] == "step" for record in read_log(directory / LOG_NAME)) + 1
    records = read_log(directory / LOG_NAME)
    result = {
        "losses": [record["loss"] for record in records if record["kind"] == "step"],
        "evaluations": [[record["tokens"], record["loss"]] for record in records if record["kind"] == "evaluation"],
        "diverged_at_step": diverged,
        "wall_seconds": time.perf_counter() - wall,
        "cpu_seconds": time.process_time() - cpu,
    }
    shutil.rmtree(directory, ignore_errors=True)
    return result


def _task(model: ModelDescription, run: SweepRun, plan: Plan, validation: SequenceIndex, output: Path) -> Task:
    return Task(
        function=RUN_FUNCTION,
        parameters={
            "model": model.to_dict(),
            "training": run.training.to_dict(),
            "data": {"train": plan.index.fingerprint, "validation": validation.fingerprint},
        },
        output=str(output),
        context={
            "store": str(plan.index.stored.directory),
            "train_index": str(plan.index.directory),
            "validation_index": str(validation.directory),
        },
    )


def _open_index(store: TokenStore, directory: str, split: str) -> SequenceIndex:
    return SequenceIndex.open(Path(directory), StoredTokens.of(store, split))


def _outcome(run: SweepRun, manifest: Mapping[str, Any]) -> RunOutcome:
    training = run.training
    diverged = manifest["diverged_at_step"]
    evaluations: Iterable[Sequence[float]] = manifest["evaluations"]
    losses = tuple(float(loss) for loss in manifest["losses"])
    points = tuple((int(tokens), float(loss)) for tokens, loss in evaluations)
    return RunOutcome(
        global_batch_size=training.global_batch_size,
        tokens_per_step=training.tokens_per_step,
        adjusted=run.adjusted,
        seed=training.seed,
        learning_rate=training.learning_rate,
        losses=losses,
        evaluations=points,
        validation_loss=points[-1][1] if diverged is None else None,
        diverged_at_step=diverged,
        stability=stability_of(losses),
        wall_seconds=float(manifest["wall_seconds"]),
        cpu_seconds=float(manifest["cpu_seconds"]),
    )
