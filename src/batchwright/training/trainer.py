"""The reference trainer: a run directory in, a trained model out, and the same curve however often it is killed.

    run/  metrics.jsonl          every step and every evaluation
          checkpoints/step-N/    see `checkpoint`
          (recipe.toml and report.md belong to the callers above)

Guarantee: `run` goes on from the newest committed checkpoint by default; later steps are replayed from the data,
which is a function of the position, and the log is cut to the checkpoint. On one machine with one thread count and
as many ranks in the same form, weights and log (but for its two fields of seconds) are bit for bit those of a run that
was never interrupted; on another number of ranks they are the same to float tolerance, on the same data. The first
rank writes the log. Price: what lies between the last checkpoint and a kill is computed twice.
"""

import contextlib
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from batchwright.batches.evaluation import evaluation_batches
from batchwright.batches.loader import BatchLoader, check_budget
from batchwright.batches.schedule import BatchSchedule, ScheduledGeometry
from batchwright.batches.step import Step
from batchwright.foundation.errors import InputError
from batchwright.foundation.files import WriterLock
from batchwright.model.description import ModelDescription
from batchwright.model.prepared import prepare
from batchwright.model.probe import probed
from batchwright.sequences.index import SequenceIndex
from batchwright.sequences.plan import Plan, differing
from batchwright.training.checkpoint import Progress, read_progress, restore
from batchwright.training.checkpoint_write import Checkpoints, CheckpointWriter, Retention
from batchwright.training.config import TrainingConfig
from batchwright.training.evaluation import Evaluation, evaluate
from batchwright.training.hyper_parameters import HyperParameterRule, ScheduledLearningRate
from batchwright.training.interruption import Interruption
from batchwright.training.lr_schedule import LearningRateSchedule
from batchwright.training.machine import deterministic
from batchwright.training.objective import Objective
from batchwright.training.optimizer import build_optimizer, optimizer_tensors
from batchwright.training.parallel import Parallel, parallel_of
from batchwright.training.ranks import Ranks, lost_ranks_named
from batchwright.training.run_log import EMPTY_XXH3, RunLog
from batchwright.training.same_run import differences
from batchwright.training.step import StepObserver, StepRecord, train_step

LOG_NAME = "metrics.jsonl"
CHECKPOINTS_NAME = "checkpoints"


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """How a call of `run` ended."""

    reason: Literal["finished", "interrupted", "paused"]  # budget used up; asked to stop; `until_step` reached
    step: int
    tokens: int
    resumed_from: int | None  # the step of the checkpoint gone on from; None: a fresh run
    last_step: StepRecord | None  # None: nothing was left to do
    evaluation: Evaluation | None  # the last one of this call
    checkpoints_waited_for: int  # written while the training stood still, because memory for a copy was not there
    model: nn.Module  # with FSDP, this rank's slices of it


@dataclass(kw_only=True)
class _Run:
    """What changes while a run goes on."""

    parallel: Parallel
    optimizer: torch.optim.Optimizer
    loader: BatchLoader
    writer: CheckpointWriter
    log: RunLog | None  # of the first rank
    threads: int
    step: int = 0
    tokens: int = 0
    last_step: StepRecord | None = None
    evaluation: Evaluation | None = None


class Trainer:
    """One run of one recipe in one directory.

    `validation` is the index of the held-out rows; `validation_bytes_per_token` makes their loss bits per byte.
    `hyper_parameters` gives every step's numbers; none: the learning rate follows its schedule, all else stays.
    `on_record` is shown every step and evaluation as it happens (progress bars live above), on the first rank.
    `ranks` are those of `started_ranks`; none: this process alone.
    """

    def __init__(
        self,
        *,
        model_config: ModelDescription,
        training_config: TrainingConfig,
        plan: Plan,
        run_directory: Path,
        validation: SequenceIndex | None = None,
        validation_bytes_per_token: float | None = None,
        hyper_parameters: HyperParameterRule | None = None,
        observers: Sequence[StepObserver] = (),
        on_record: Callable[[StepRecord | Evaluation], None] | None = None,
        ranks: Ranks | None = None,
    ) -> None:
        self.model_config, self.config, self.plan = model_config, training_config, plan
        self.directory = run_directory
        _check_lengths(model_config, training_config, plan)
        self.batches = BatchSchedule(plan, training_config.batch_rule)
        check_budget(self.batches, training_config.tokens)
        self._validation, self._bytes_per_token = validation, validation_bytes_per_token
        self._observers, self._on_record = tuple(observers), on_record
        self._hyper_parameters = hyper_parameters or ScheduledLearningRate(
            schedule=LearningRateSchedule.of(training_config)
        )
        self._ranks = Ranks() if ranks is None else ranks
        if self._ranks.size > 1 and training_config.parallel == "fsdp" and self._observers:
            raise InputError(
                "an observer asks for the gradient of each micro-batch, and with FSDP no rank has one",
                remedy='parallel = "ddp" while the noise is measured',
            )
        self._checkpoints = Checkpoints(
            run_directory / CHECKPOINTS_NAME, retention=Retention(last=training_config.keep_checkpoints)
        )
        for index in (*plan.indexes, validation):
            if index is not None:
                _check_vocabulary(model_config, index)

    @property
    def total_steps(self) -> int:
        """Updates in the whole run: the budget of tokens, rounded up to whole steps."""
        return self.batches.steps_for(self.config.tokens)

    def run(self, *, until_step: int | None = None) -> RunResult:
        """Train to the end of the budget, or to `until_step`; resumes where the directory says.

        Raises InputError (a checkpoint of another model, recipe or plan: named differences), LockedError (somebody
        trains here), DivergedError, ResourceError, CorruptDataError.
        """
        last = self.total_steps if until_step is None else min(until_step, self.total_steps)
        ranks, stopped = self._ranks, False
        with contextlib.ExitStack() as stack:
            stack.enter_context(lost_ranks_named())
            ranks.check_alike({"version": version("batchwright"), "until_step": until_step, **self._facts()})
            ranks.together(lambda: stack.enter_context(WriterLock(self.directory)) if ranks.first else None)
            threads = stack.enter_context(deterministic(self.config.threads))
            interruption = stack.enter_context(Interruption())
            run, resumed_from = self._begin(threads)
            if run.log is not None:
                stack.callback(run.log.close)
            try:
                if run.step == 0:
                    self._evaluate(run)
                for batches in run.loader:
                    if run.step >= last:
                        break
                    # Every rank must stop at the same step, whichever was asked to.
                    stopped = ranks.any(interruption.requested or run.writer.failed)
                    if stopped:
                        break
                    self._step(run, batches)
                run.writer.finish()
                if run.last_step is not None:
                    self._save(run, wait=True)
            finally:
                run.writer.finish()
        finished = run.step >= self.total_steps
        return RunResult(
            reason="finished" if finished else "interrupted" if stopped else "paused",
            step=run.step,
            tokens=run.tokens,
            resumed_from=resumed_from,
            last_step=run.last_step,
            evaluation=run.evaluation,
            checkpoints_waited_for=run.writer.waited,
            model=run.parallel.objective.model,
        )

    def _begin(self, threads: int) -> tuple[_Run, int | None]:
        """A fresh run, or the one that the newest checkpoint holds."""
        ranks = self._ranks
        ranks.together(lambda: self._checkpoints.remove_unfinished() if ranks.first else None)
        newest = self._checkpoints.newest()
        ranks.check_alike({"checkpoint": None if newest is None else newest.name})
        progress = None if newest is None else ranks.together(lambda: read_progress(newest, ranks))
        geometry = ScheduledGeometry(
            schedule=self.batches, micro_batch_size=self.config.micro_batch_size, world_size=ranks.size
        )
        loader = BatchLoader(self.plan, geometry, rank=ranks.rank)
        if progress is not None:
            self._check_same(progress, str(newest))
            loader.restore(progress.data)
        model = probed(self.model_config, seed=self.config.seed, isolate=self.config.isolate, read=progress is None).to(
            ranks.device
        )
        prepare(model, self.config.execution)
        objective = Objective(model, isolate=self.config.isolate, loss=self.config.loss)
        parallel = parallel_of(objective, self.config.parallel, ranks)
        run = _Run(
            parallel=parallel,
            optimizer=build_optimizer(model, self.config),  # after sharding, which replaces the parameters
            loader=loader,
            writer=CheckpointWriter(self._checkpoints, ranks),
            log=ranks.together(lambda: self._log_after(progress) if ranks.first else None),
            threads=threads,
        )
        if progress is None or newest is None:
            return run, None
        ranks.together(lambda: restore(newest, model, run.optimizer))
        run.step, run.tokens = progress.step, progress.tokens
        return run, progress.step

    def _log_after(self, progress: Progress | None) -> RunLog:
        committed = (0, EMPTY_XXH3) if progress is None else (progress.log_bytes, progress.log_xxh3)
        return RunLog(self.directory / LOG_NAME, committed_bytes=committed[0], committed_xxh3=committed[1])

    def _step(self, run: _Run, batches: Step) -> None:
        """One update, and whatever is due after it."""
        before, ahead = run.tokens, batches.tokens
        record = train_step(
            run.parallel.objective,
            run.optimizer,
            batches,
            step=run.step + 1,
            tokens_before=before,
            hyper_parameters=self._hyper_parameters.for_step(
                step=run.step + 1, tokens_before=before, tokens_of_step=ahead, global_batch_size=batches.sequences
            ),
            clip_norm=self.config.clip_norm,
            parallel=run.parallel,
            observers=self._observers,
        )
        run.loader.acknowledge(batches)
        run.step, run.tokens, run.last_step = record.step, record.tokens, record
        self._record(run, record)
        if self.config.checkpoint_every_tokens is not None and not run.writer.prepared:
            run.writer.prepare(*_tensors(run))  # now that the optimizer has its state
        ended = run.step >= self.total_steps
        if ended or _crosses(self.config.evaluate_every_tokens, before, run.tokens):
            self._evaluate(run)
        if not ended and _crosses(self.config.checkpoint_every_tokens, before, run.tokens):
            self._save(run)

    def _evaluate(self, run: _Run) -> None:
        if self._validation is None:
            return
        batches = evaluation_batches(
            self._validation, self.config.micro_batch_size, rows=self.config.evaluate_sequences
        )
        run.evaluation = evaluate(
            run.parallel.objective,
            batches,
            step=run.step,
            tokens=run.tokens,
            bytes_per_token=self._bytes_per_token,
            ranks=self._ranks,
        )
        run.parallel.rest()
        self._record(run, run.evaluation)

    def _record(self, run: _Run, record: StepRecord | Evaluation) -> None:
        kind = "step" if isinstance(record, StepRecord) else "evaluation"
        if run.log is not None:
            run.log.append({"kind": kind, **asdict(record)})
        if self._on_record is not None and self._ranks.first:
            self._on_record(record)

    def _save(self, run: _Run, *, wait: bool = False) -> None:
        log_bytes, log_xxh3 = (0, EMPTY_XXH3) if run.log is None else run.log.commit()
        progress = Progress(
            step=run.step,
            tokens=run.tokens,
            data=run.loader.state(),
            log_bytes=log_bytes,
            log_xxh3=log_xxh3,
            model=self.model_config.to_dict(),
            training=self.config.same_run(),
            machine={
                "ranks": self._ranks.size,
                "parallel": self.config.parallel if self._ranks.size > 1 else None,
                "threads": run.threads,
                "python": platform.python_version(),
                **{name: version(name) for name in ("batchwright", "torch", "numpy")},
            },
        )
        run.writer.write(progress, *_tensors(run), wait=wait)

    def _facts(self) -> dict[str, Any]:
        """What must be the same on every rank."""
        indexes = [*self.plan.indexes, *([] if self._validation is None else [self._validation])]
        training = {name: value for name, value in self.config.to_dict().items() if name != "threads"}
        return {
            "model": self.model_config.to_dict(),
            "training": training,
            "plan": self.plan.to_dict(),
            "stores": [index.stored.fingerprint for index in indexes],
        }

    def _check_same(self, progress: Progress, where: str) -> None:
        """Refuse a checkpoint that this recipe did not make, and say in what it differs."""
        found = [
            *(f"model.{each}" for each in differing(progress.model, self.model_config.to_dict())),
            *(f"training.{each}" for each in differences(progress.training, self.config, tokens=progress.tokens)),
        ]
        if found:
            raise InputError(
                f"the checkpoint belongs to another run: {'; '.join(found)}",
                where=where,
                remedy="put these values back, or train in a new run directory",
            )


def _tensors(run: _Run) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """(weights, optimizer state) by name, as this rank holds them."""
    model = run.parallel.objective.model
    assert run.optimizer.state.keys() <= set(model.parameters()), "state of a parameter that the model does not have"
    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
    return weights, optimizer_tensors(model, run.optimizer)


def _crosses(every: int | None, before: int, after: int) -> bool:
    """Whether a multiple of `every` lies in (before, after]."""
    return every is not None and before // every != after // every


def _check_lengths(model: ModelDescription, config: TrainingConfig, plan: Plan) -> None:
    """The recipe's T is the one that the plan begins with, and the model can read the longest."""
    first, longest = plan.stages[0].sequence_length, max(stage.sequence_length for stage in plan.stages)
    if config.sequence_length != first:
        raise InputError(
            f"the recipe trains on sequences of {config.sequence_length:,} tokens, the plan has rows of {first:,}",
            remedy=f"sequence_length = {first}, or an index of T = {config.sequence_length}",
        )
    if longest > model.sequence_length:
        raise InputError(
            f"the plan has rows of {longest:,} tokens, the model reads {model.sequence_length:,}",
            remedy=f"[model] sequence_length = {longest}",
        )


def _check_vocabulary(config: ModelDescription, index: SequenceIndex) -> None:
    """A larger vocabulary than the store's is allowed (some round it up); a smaller one could not read its ids."""
    needed = index.stored.vocabulary_size
    if config.vocabulary_size < needed:
        raise InputError(
            f"the model knows {config.vocabulary_size:,} ids, the store holds {needed:,}",
            where=str(index.stored.directory),
            remedy=f"vocabulary_size = {needed}",
        )
