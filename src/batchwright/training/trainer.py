"""The reference trainer: a run directory in, a trained model out, and the same curve however often it is killed.

    run/  metrics.jsonl          every step, every evaluation, every spike
          checkpoints/step-N/    see `checkpoint`
          (recipe.toml and report.md belong to the callers above)

Guarantee: `run` goes on from the newest committed checkpoint by default; later steps are replayed from the data,
which is a function of the position, and the log is cut to the checkpoint. On one machine with one thread count and
as many ranks in the same form, weights and log (but for `run_log.MEASURED_FIELDS`) are bit for bit those of a run that
was never interrupted; on another number of ranks they are the same to float tolerance, on the same data. The first
rank writes the log. Price: what lies between the last checkpoint and a kill is computed twice.
"""

import contextlib
import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal, NoReturn

import torch
from torch import Tensor, nn

from batchwright.batches.evaluation import evaluation_batches
from batchwright.batches.loader import BatchLoader, check_budget
from batchwright.batches.schedule import BatchSchedule, ScheduledGeometry
from batchwright.batches.step import Step
from batchwright.foundation.errors import BatchwrightError, InputError
from batchwright.foundation.files import WriterLock
from batchwright.model.description import ModelDescription
from batchwright.model.prepared import prepare
from batchwright.model.probe import probed
from batchwright.sequences.index import SequenceIndex
from batchwright.sequences.plan import Plan
from batchwright.training.belonging import check_lengths, check_same_run, check_vocabulary, facts_of
from batchwright.training.checkpoint import Progress, read_progress, restore
from batchwright.training.checkpoint_clock import CheckpointClock, crosses
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
from batchwright.training.run_records import Listener, RunRecords
from batchwright.training.spikes import SpikeWatch
from batchwright.training.step import DivergedError, NoTargetsError, StepObserver, StepRecord, train_step
from batchwright.training.trouble import Tracer

Gauge = Callable[[StepRecord, int], StepRecord]
"""Puts MFU and peak memory into a step's record, given its T; lives above, where the machine is known."""

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

    parallel: Parallel
    optimizer: torch.optim.Optimizer
    loader: BatchLoader
    writer: CheckpointWriter
    records: RunRecords
    threads: int
    clock: CheckpointClock
    step: int = 0
    tokens: int = 0
    last_step: StepRecord | None = None
    evaluation: Evaluation | None = None


class Trainer:
    """One run of one recipe in one directory.

    `validation` is the index of the held-out rows; `validation_bytes_per_token` makes their loss bits per byte.
    `hyper_parameters` gives every step's numbers; none: the learning rate follows its schedule, all else stays.
    `on_record` is shown every step, evaluation, spike and trouble as it happens (progress bars live above), on the
    first rank; `gauge` measures the machine, `tracer` names the documents of a step that went wrong. `ranks` are those
    of `started_ranks`; none: this process alone.
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
        on_record: Listener | None = None,
        gauge: Gauge | None = None,
        tracer: Tracer | None = None,
        ranks: Ranks | None = None,
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
        self._ranks = Ranks() if ranks is None else ranks
        if self._ranks.size > 1 and training_config.parallel == "fsdp" and self._observers:
            raise InputError(
                "an observer asks for the gradient of each micro-batch, and with FSDP no rank has one",
                remedy='parallel = "ddp" while the noise is measured',
            )
        self._checkpoints = Checkpoints(
            run_directory / CHECKPOINTS_NAME,
            retention=Retention(last=training_config.keep_checkpoints, every_tokens=training_config.keep_every_tokens),
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
        `on_begin` is told, on the first rank, the step gone on from once the directory is ours and what it holds
        belongs to this recipe.

        Raises InputError (a checkpoint of another model, recipe or plan, ranks that do not agree: named differences),
        LockedError (somebody trains here), DivergedError, NoTargetsError, ResourceError, CorruptDataError, and
        RankLostError where another rank ended.
        """
        last = self.total_steps if until_step is None else min(until_step, self.total_steps)
        ranks = self._ranks
        with contextlib.ExitStack() as stack:
            stack.enter_context(lost_ranks_named())
            facts = facts_of(self.model_config, self.config, self.plan, self._validation)
            ranks.check_alike({"version": version("batchwright"), "until_step": until_step, **facts})
            ranks.together(lambda: stack.enter_context(WriterLock(self.directory)) if ranks.first else None)
            threads = stack.enter_context(deterministic(self.config.threads))
            interruption = stack.enter_context(Interruption(seconds=seconds))
            run, resumed_from = self._begin(threads)
            stack.callback(run.records.close)
            stack.callback(run.writer.finish)
            if on_begin is not None and ranks.first:
                on_begin(run.step)
            if run.step == 0:
                self._evaluate(run)
            for batches in self._steps(run):
                # Time that is up leaves one step: a call that makes none, called again and again, would never end.
                asked = interruption.signalled or (interruption.requested and run.last_step is not None)
                # Every rank must stop at the same step, whichever was asked to.
                if run.step >= last or ranks.any(asked or run.writer.failed):
                    break
                self._step(run, batches)
            run.writer.finish()
            if run.last_step is not None:
                self._save(run, wait=True)
            interrupted = ranks.any(interruption.signalled)
        finished = run.step >= self.total_steps
        return RunResult(
            reason="finished" if finished else "interrupted" if interrupted else "paused",
            step=run.step,
            tokens=run.tokens,
            resumed_from=resumed_from,
            last_step=run.last_step,
            evaluation=run.evaluation,
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
            check_same_run(progress, self.model_config, self.config, where=str(newest))
            loader.restore(progress.data)
        model = probed(self.model_config, seed=self.config.seed, isolate=self.config.isolate, read=progress is None)
        model = model.to(ranks.device)
        prepare(model, self.config.execution)
        objective = Objective(model, isolate=self.config.isolate, loss=self.config.loss)
        parallel = parallel_of(objective, self.config.parallel, ranks)
        run = _Run(
            parallel=parallel,
            optimizer=build_optimizer(model, self.config),  # after sharding, which replaces the parameters
            loader=loader,
            writer=CheckpointWriter(self._checkpoints, ranks),
            records=ranks.together(lambda: self._records_after(progress)),
            threads=threads,
            clock=CheckpointClock(self.config, tokens=0 if progress is None else progress.tokens),
        )
        if progress is None or newest is None:
            return run, None
        ranks.together(lambda: restore(newest, model, run.optimizer))
        run.step, run.tokens = progress.step, progress.tokens
        return run, progress.step

    def _records_after(self, progress: Progress | None) -> RunRecords:
        log = None
        if self._ranks.first:
            committed = (0, EMPTY_XXH3) if progress is None else (progress.log_bytes, progress.log_xxh3)
            log = RunLog(self.directory / LOG_NAME, committed_bytes=committed[0], committed_xxh3=committed[1])
        spikes = SpikeWatch(window_tokens=self.config.spike_window, deviations=self.config.spike_deviations)
        return RunRecords(log, spikes, listener=self._on_record, tracer=self._tracer)

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
        except (DivergedError, NoTargetsError) as error:
            self._refuse_step(run, batches, error)
        if self._gauge is not None:
            record = self._gauge(record, batches.geometry.sequence_length)
        run.loader.acknowledge(batches)
        run.step, run.tokens, run.last_step = record.step, record.tokens, record
        run.records.add_step(record, batches)
        if run.clock.before_the_end and not run.writer.prepared:
            run.writer.prepare(*_tensors(run))  # now that the optimizer has its state
        ended = run.step >= self.total_steps
        if ended or crosses(self.config.evaluate_every_tokens, before, run.tokens):
            self._evaluate(run)
        if not ended and self._due(run, before):
            self._save(run)

    def _due(self, run: _Run, before: int) -> bool:
        """Whether it is time for a checkpoint. The clock looks at the time, which no two ranks agree on: the first
        one's counts."""
        ranks, writer = self._ranks, run.writer
        return ranks.any(
            ranks.first and run.clock.due(before, run.tokens, write_seconds=writer.seconds, writing=writer.writing)
        )

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
        run.records.add(run.evaluation)

    def _refuse_step(self, run: _Run, batches: Step, error: BatchwrightError) -> NoReturn:
        run.writer.finish()  # so that the newest checkpoint is the newest
        newest = self._checkpoints.newest()
        back = None if newest is None else read_progress(newest).step
        run.records.refuse(error, batches, step=run.step + 1, directory=self.directory, newest=back)

    def _save(self, run: _Run, *, wait: bool = False) -> None:
        log_bytes, log_xxh3 = run.records.position()
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
        run.writer.write(progress, *_tensors(run), first_sync=run.records.sync, wait=wait)
        run.clock.written(run.tokens)


def _tensors(run: _Run) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """(weights, optimizer state) by name, as this rank holds them."""
    model = run.parallel.objective.model
    assert run.optimizer.state.keys() <= set(model.parameters()), "state of a parameter that the model does not have"
    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
    return weights, optimizer_tensors(model, run.optimizer)
