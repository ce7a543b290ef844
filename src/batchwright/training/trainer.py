"""The reference trainer: a run directory in, a trained model out, and the same curve however often it is killed.

    run/  metrics.jsonl          every step, every evaluation, every spike
          checkpoints/step-N/    see `checkpoint`
          (recipe.toml and report.md belong to the callers above)

Guarantee: `run` goes on from the newest committed checkpoint by default; later steps are replayed from the data,
which is a function of the position, and the log is cut to the checkpoint. On one machine with one thread count,
weights and log (but for `run_log.MEASURED_FIELDS`) are bit for bit those of a run that was never interrupted. Price:
what lies between the last checkpoint and a kill is computed twice.
"""

import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Literal, NoReturn

import torch
from torch import nn

from batchwright.batches.evaluation import evaluation_batches
from batchwright.batches.loader import BatchLoader, check_budget
from batchwright.batches.schedule import BatchSchedule, ScheduledGeometry
from batchwright.batches.step import Step
from batchwright.foundation.errors import BatchwrightError
from batchwright.foundation.files import WriterLock
from batchwright.model.description import ModelDescription
from batchwright.model.prepared import prepare
from batchwright.model.probe import probed
from batchwright.sequences.index import SequenceIndex
from batchwright.sequences.plan import Plan
from batchwright.training.belonging import check_lengths, check_same_run, check_vocabulary
from batchwright.training.checkpoint import Checkpoints, Progress, read_progress, restore
from batchwright.training.checkpoint_clock import CheckpointClock, crosses
from batchwright.training.config import TrainingConfig
from batchwright.training.evaluation import Evaluation, evaluate
from batchwright.training.hyper_parameters import HyperParameterRule, ScheduledLearningRate
from batchwright.training.interruption import Interruption
from batchwright.training.lr_schedule import LearningRateSchedule
from batchwright.training.machine import deterministic
from batchwright.training.objective import Objective
from batchwright.training.optimizer import build_optimizer
from batchwright.training.run_log import EMPTY_XXH3, RunLog, read_log
from batchwright.training.spikes import Spike, SpikeWatch
from batchwright.training.step import DivergedError, NoTargetsError, StepObserver, StepRecord, train_step
from batchwright.training.trouble import BatchDocuments, Tracer, Trouble, explained, skip_command

Record = StepRecord | Evaluation | Spike | Trouble
Gauge = Callable[[StepRecord, int], StepRecord]
"""Puts MFU and peak memory into a step's record, given its T; lives above, where the machine is known."""

_KINDS = {StepRecord: "step", Evaluation: "evaluation", Spike: "spike"}  # a Trouble says its own

LOG_NAME = "metrics.jsonl"
CHECKPOINTS_NAME = "checkpoints"


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """How a call of `run` ended."""

    reason: Literal["finished", "interrupted", "paused"]  # budget used up; asked to stop; `until_step` or time reached
    step: int
    tokens: int
    resumed_from: int | None  # the step of the checkpoint gone on from; None: a fresh run
    last_step: StepRecord | None  # None: nothing was left to do
    evaluation: Evaluation | None  # the last one of this call
    model: nn.Module


@dataclass(kw_only=True)
class _Run:
    """What changes while a run goes on."""

    objective: Objective
    optimizer: torch.optim.Optimizer
    loader: BatchLoader
    log: RunLog
    threads: int
    clock: CheckpointClock
    spikes: SpikeWatch
    step: int = 0
    tokens: int = 0
    last_step: StepRecord | None = None
    evaluation: Evaluation | None = None


class Trainer:
    """One run of one recipe in one directory.

    `validation` is the index of the held-out rows; `validation_bytes_per_token` makes their loss bits per byte.
    `hyper_parameters` gives every step's numbers; none: the learning rate follows its schedule, all else stays.
    `on_record` is shown every step, evaluation, spike and trouble as it happens (progress bars live above); `gauge`
    measures the machine, `tracer` names the documents of a step that went wrong.
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
        on_record: Callable[[Record], None] | None = None,
        gauge: Gauge | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        self.model_config, self.config, self.plan = model_config, training_config, plan
        self.directory = run_directory
        check_lengths(model_config, training_config, plan)
        self.batches = BatchSchedule(plan, training_config.batch_rule)
        check_budget(self.batches, training_config.tokens)
        self._validation, self._bytes_per_token = validation, validation_bytes_per_token
        self._observers, self._on_record = tuple(observers), on_record
        self._gauge, self._tracer = gauge, tracer
        self._hyper_parameters = hyper_parameters or ScheduledLearningRate(
            schedule=LearningRateSchedule.of(training_config)
        )
        self._checkpoints = Checkpoints(
            run_directory / CHECKPOINTS_NAME,
            keep=training_config.keep_checkpoints,
            keep_every_tokens=training_config.keep_every_tokens,
        )
        for index in (*plan.indexes, validation):
            if index is not None:
                check_vocabulary(model_config, index)

    @property
    def total_steps(self) -> int:
        """Updates in the whole run: the budget of tokens, rounded up to whole steps."""
        return self.batches.steps_for(self.config.tokens)

    def run(
        self,
        *,
        until_step: int | None = None,
        seconds: float | None = None,
        on_begin: Callable[[int], None] | None = None,
    ) -> RunResult:
        """Train to the end of the budget, to `until_step`, or for so many seconds; resumes where the directory says.
        `on_begin` is told the step gone on from once the directory is ours and what it holds belongs to this recipe.

        Raises InputError (a checkpoint of another model, recipe or plan: named differences), LockedError (somebody
        trains here), DivergedError, NoTargetsError, ResourceError, CorruptDataError.
        """
        last = self.total_steps if until_step is None else min(until_step, self.total_steps)
        stop = Interruption(seconds=seconds)
        with WriterLock(self.directory), deterministic(self.config.threads) as threads, stop as interruption:
            run, resumed_from = self._begin(threads)
            try:
                if on_begin is not None:
                    on_begin(run.step)
                if run.step == 0:
                    self._evaluate(run)
                for batches in self._steps(run):
                    if run.step >= last or interruption.requested:
                        break
                    self._step(run, batches)
                if run.last_step is not None:
                    self._save(run)
            finally:
                run.log.close()
        finished = run.step >= self.total_steps
        return RunResult(
            reason="finished" if finished else "interrupted" if interruption.signalled else "paused",
            step=run.step,
            tokens=run.tokens,
            resumed_from=resumed_from,
            last_step=run.last_step,
            evaluation=run.evaluation,
            model=run.objective.model,
        )

    def _begin(self, threads: int) -> tuple[_Run, int | None]:
        """A fresh run, or the one that the newest checkpoint holds."""
        self._checkpoints.remove_unfinished()
        newest = self._checkpoints.newest()
        progress = None if newest is None else read_progress(newest)
        geometry = ScheduledGeometry(schedule=self.batches, micro_batch_size=self.config.micro_batch_size)
        loader = BatchLoader(self.plan, geometry)
        if progress is not None:
            check_same_run(progress, self.model_config, self.config, where=str(newest))
            loader.restore(progress.data)
        model = probed(self.model_config, seed=self.config.seed, isolate=self.config.isolate, read=progress is None)
        prepare(model, self.config.execution)
        optimizer = build_optimizer(model, self.config)
        committed = (0, EMPTY_XXH3) if progress is None else (progress.log_bytes, progress.log_xxh3)
        log = RunLog(self.directory / LOG_NAME, committed_bytes=committed[0], committed_xxh3=committed[1])
        objective = Objective(model, isolate=self.config.isolate, loss=self.config.loss)
        clock = CheckpointClock(self.config, tokens=0 if progress is None else progress.tokens)
        spikes = SpikeWatch(window_tokens=self.config.spike_window, deviations=self.config.spike_deviations)
        spikes.remember(read_log(log.path))
        run = _Run(
            objective=objective,
            optimizer=optimizer,
            loader=loader,
            log=log,
            threads=threads,
            clock=clock,
            spikes=spikes,
        )
        if progress is None or newest is None:
            return run, None
        restore(newest, model, optimizer)
        run.step, run.tokens = progress.step, progress.tokens
        return run, progress.step

    def _steps(self, run: _Run) -> Iterator[Step]:
        """The steps from here on. Raises NoTargetsError, told in full."""
        try:
            yield from run.loader
        except NoTargetsError as error:
            self._refuse_step(run, run.loader.step_from(run.loader.position), error)

    def _step(self, run: _Run, batches: Step) -> None:
        """One update, and whatever is due after it."""
        before, ahead = run.tokens, batches.tokens
        try:
            record = train_step(
                run.objective,
                run.optimizer,
                batches,
                step=run.step + 1,
                tokens_before=before,
                hyper_parameters=self._hyper_parameters.for_step(
                    step=run.step + 1, tokens_before=before, tokens_of_step=ahead, global_batch_size=batches.sequences
                ),
                clip_norm=self.config.clip_norm,
                observers=self._observers,
            )
        except (DivergedError, NoTargetsError) as error:
            self._refuse_step(run, batches, error)
        if self._gauge is not None:
            record = self._gauge(record, batches.geometry.sequence_length)
        run.loader.acknowledge(batches)
        run.step, run.tokens, run.last_step = record.step, record.tokens, record
        self._record(run, record)
        spike = run.spikes.look(record, stop_position=batches.stop_position)
        if spike is not None:
            traced = self._trace(batches)
            self._record(run, replace(spike, documents=traced.documents, document_count=traced.count))
        ended = run.step >= self.total_steps
        if ended or crosses(self.config.evaluate_every_tokens, before, run.tokens):
            self._evaluate(run)
        if not ended and run.clock.due(before, run.tokens):
            self._save(run)

    def _evaluate(self, run: _Run) -> None:
        if self._validation is None:
            return
        batches = evaluation_batches(
            self._validation, self.config.micro_batch_size, rows=self.config.evaluate_sequences
        )
        run.evaluation = evaluate(
            run.objective,
            batches,
            step=run.step,
            tokens=run.tokens,
            bytes_per_token=self._bytes_per_token,
        )
        self._record(run, run.evaluation)

    def _trace(self, batches: Step) -> BatchDocuments:
        if self._tracer is None:
            return BatchDocuments()
        return self._tracer(batches.first_position, batches.stop_position)

    def _refuse_step(self, run: _Run, batches: Step, error: BatchwrightError) -> NoReturn:
        """Say, in the log too, what is wrong with a step that cannot be made, and how to go on without it."""
        documents, newest = self._trace(batches), self._checkpoints.newest()
        back = None if newest is None else read_progress(newest).step
        first, stop = batches.first_position, batches.stop_position
        command = skip_command(self.directory, from_step=back, first_position=first, stop_position=stop)
        told = explained(error, step=run.step + 1, newest=back, documents=documents, command=command)
        self._record(
            run,
            Trouble(
                kind="diverged" if isinstance(error, DivergedError) else "no targets",
                step=run.step + 1,
                first_position=first,
                stop_position=stop,
                message=str(told),
                command=command,
                documents=documents.documents,
                document_count=documents.count,
            ),
        )
        raise told from error

    def _record(self, run: _Run, record: Record) -> None:
        kind = record.kind if isinstance(record, Trouble) else _KINDS[type(record)]
        run.log.append({"kind": kind, **asdict(record)})
        if self._on_record is not None:
            self._on_record(record)

    def _save(self, run: _Run) -> None:
        begun = time.monotonic()
        log_bytes, log_xxh3 = run.log.commit()
        progress = Progress(
            step=run.step,
            tokens=run.tokens,
            data=run.loader.state(),
            log_bytes=log_bytes,
            log_xxh3=log_xxh3,
            model=self.model_config.to_dict(),
            training=self.config.same_run(),
            machine={
                "threads": run.threads,
                "python": platform.python_version(),
                **{name: version(name) for name in ("batchwright", "torch", "numpy")},
            },
        )
        self._checkpoints.write(progress, run.objective.model, run.optimizer)
        run.clock.written(run.tokens, seconds=time.monotonic() - begun)
