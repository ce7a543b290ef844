"""A recipe and a store become a run directory: the data is opened, the trainer runs, the recipe is kept beside it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from batchwright.batches.geometry import BatchGeometry
from batchwright.foundation.errors import InputError, ResourceError
from batchwright.foundation.files import translated, write_atomic
from batchwright.foundation.units import format_bytes
from batchwright.planning.hardware import this_machine
from batchwright.recipe import Recipe, SourceRecipe
from batchwright.sequences.index import SequenceIndex
from batchwright.sequences.plan import Plan
from batchwright.sequences.stage import Source, weight_of
from batchwright.tokens.store import TokenStore
from batchwright.training.checkpoint import read_progress
from batchwright.training.checkpoint_write import Checkpoints
from batchwright.training.ranks import Ranks
from batchwright.training.run_log import read_log
from batchwright.training.run_records import Record
from batchwright.training.step import DivergedError, NoTargetsError, OutOfMemoryError, StepObserver
from batchwright.training.trainer import CHECKPOINTS_NAME, LOG_NAME, RunResult, Trainer
from batchwright.workflows.batch_documents import StoreTracer
from batchwright.workflows.calls import note_call
from batchwright.workflows.data import open_index
from batchwright.workflows.fitting import next_micro_batch
from batchwright.workflows.gauges import gauge_of, peak_of_ranks
from batchwright.workflows.hyper_parameters import hyper_parameter_rule
from batchwright.workflows.machine import packages
from batchwright.workflows.recipe_plan import plan_of
from batchwright.workflows.run_directory import (
    RECIPE_NAME,
    UNFINISHED,
    begin_afresh,
    finish_going_back,
    recipe_of_run,
    remove_unfinished,
)

_WEIGHT_AND_GRADIENT_BYTES, _MOMENT_BYTES = 8, 4  # per weight, fp32


@dataclass(frozen=True, kw_only=True)
class RunData:
    """What a recipe's run reads."""

    stores: tuple[TokenStore, ...]
    plan: Plan
    validation: SequenceIndex | None
    validation_bytes_per_token: float | None  # None: ids that were imported have no text, with or without loss masks

    @property
    def store(self) -> TokenStore:
        """The first one, whose held-out documents validate."""
        return self.stores[0]


def open_data(recipe: Recipe) -> RunData:
    """The rows of a recipe; builds the sequence indexes that are not there yet."""
    named = recipe.data.sources or (SourceRecipe(name="text", store=recipe.data.store),)
    first = TokenStore.open(Path(named[0].store))
    opened = {named[0].store: first}

    def rows_of(source: SourceRecipe, sequence_length: int) -> Source:
        """The stage's rows of a source; each store is opened once."""
        if source.store not in opened:
            opened[source.store] = TokenStore.open(Path(source.store))
        return Source(
            name=source.name,
            index=open_index(
                opened[source.store],
                split="train",
                sequence_length=sequence_length,
                packing=recipe.data.packing,
                seed=recipe.data.seed,
            ),
            weight=weight_of(source.weight),
            epoch_cap=None if source.epoch_cap is None else weight_of(source.epoch_cap),
        )

    held_out = first.split("validation").counts
    plan = plan_of(recipe, rows_of)  # which opens the stores of its sources
    return RunData(
        plan=plan,
        stores=tuple(opened.values()),
        validation=open_index(
            first,
            split="validation",
            sequence_length=recipe.training.sequence_length,
            packing=recipe.data.packing,
            seed=recipe.data.seed,
        )
        if held_out.documents
        else None,
        validation_bytes_per_token=held_out.text_bytes / held_out.tokens if held_out.text_bytes else None,
    )


def geometry_of(recipe: Recipe, *, ranks: int = 1) -> BatchGeometry:
    """The full batch of a recipe on so many ranks, as it is run."""
    return BatchGeometry(
        global_batch_size=recipe.training.global_batch_size,
        micro_batch_size=recipe.training.micro_batch_size,
        sequence_length=recipe.training.sequence_length,
        world_size=ranks,
    ).without_idle_micro_batch()


def train(
    recipe: Recipe,
    run_directory: Path,
    *,
    fresh: bool = False,
    until_step: int | None = None,
    minutes: float | None = None,
    command: str = "",
    observers: Sequence[StepObserver] = (),
    on_record: Callable[[Record], None] | None = None,
    ranks: Ranks | None = None,
) -> RunResult:
    """Train, or go on training, in `run_directory`, to the end, to `until_step` or for so many minutes. `fresh` forgets
    what was trained there before; `command` is what the run's list of calls will say. `ranks` (see `started_ranks`)
    call this together; the first of them writes.

    What the run skips besides (`change_course`) is kept, and a way back that was cut short is finished.
    """
    ranks = Ranks() if ranks is None else ranks
    if minutes is not None and not minutes > 0:  # nan, too
        raise InputError(f"--minutes {minutes:g}", remedy="a number above 0")
    if until_step is not None and until_step < 1:
        raise InputError(f"--steps {until_step}", remedy="a number above 0: the steps of the run in all")
    if not fresh:
        ranks.together(lambda: finish_going_back(run_directory) if ranks.first else None)
        recipe = ranks.together(lambda: recipe_of_run(recipe, run_directory))
    ranks.check_alike({"recipe": recipe.to_table(), "version": version("batchwright"), "torch": version("torch")})
    _refuse_what_no_memory_holds(recipe)

    peak = peak_of_ranks(recipe, ranks)

    def trainer() -> Trainer:
        data = open_data(recipe)
        return Trainer(
            model_config=recipe.model,
            training_config=recipe.training,
            plan=data.plan,
            run_directory=run_directory,
            validation=data.validation,
            validation_bytes_per_token=data.validation_bytes_per_token,
            hyper_parameters=hyper_parameter_rule(recipe.training),
            observers=observers,
            on_record=on_record,
            gauge=gauge_of(recipe, peak),
            tracer=StoreTracer(data.plan, data.stores),
            ranks=ranks,
        )

    # What one rank alone finds wrong must not leave the others waiting.
    ready = ranks.together(trainer)
    ranks.together(lambda: claim(run_directory, recipe, fresh=fresh) if ranks.first else None)
    call = f"{time.time_ns()}"

    def note(event: str, **facts: Any) -> None:
        if ranks.first:
            note_call(run_directory, event, call, **facts)

    def begin(step: int) -> None:
        remove_unfinished(run_directory)
        write_atomic(run_directory / RECIPE_NAME, recipe.to_toml().encode())
        note("begun", command=command, from_step=step, peak=peak, versions=packages(), ranks=ranks.size)

    try:
        seconds = None if minutes is None else 60 * minutes
        result = ready.run(until_step=until_step, seconds=seconds, on_begin=begin)
    except OutOfMemoryError as error:
        note("ended", reason="failed", error=str(error))
        raise with_what_fits(error, recipe) from error
    except (DivergedError, NoTargetsError) as error:
        note("ended", reason="failed", error=str(error))
        raise
    note("ended", reason=result.reason, step=result.step, tokens=result.tokens)
    return result


def checkpointed_step(run_directory: Path) -> int | None:
    """Where the newest checkpoint of a run stands; none: it would begin at the beginning."""
    newest = Checkpoints(run_directory / CHECKPOINTS_NAME).newest()
    return None if newest is None else read_progress(newest).step


def records_of(run_directory: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(steps, evaluations) of a run, as its log has them."""
    records = read_log(run_directory / LOG_NAME)
    return [r for r in records if r["kind"] == "step"], [r for r in records if r["kind"] == "evaluation"]


def _refuse_what_no_memory_holds(recipe: Recipe) -> None:
    """A model that is larger than the whole machine is refused here, not by the kernel minutes later.

    Raises ResourceError. Whether a batch fits beside it is `batchwright plan`'s question.
    """
    weights = recipe.model.parameter_count()
    if weights is None:
        return  # a function's model: only building it could tell
    moments = {"adamw": 2, "sgd": int(recipe.training.momentum > 0)}.get(recipe.training.optimizer, 0)
    needed = (_WEIGHT_AND_GRADIENT_BYTES + moments * _MOMENT_BYTES) * weights
    there = this_machine().memory_bytes
    if needed > there:
        raise ResourceError(
            f"{weights:,} weights with gradient and optimizer need {format_bytes(needed)}, "
            f"and this machine has {format_bytes(there)}",
            remedy="a smaller model, or a machine with more memory: batchwright plan says what fits",
        )


def with_what_fits(error: OutOfMemoryError, recipe: Recipe) -> OutOfMemoryError:
    """The same error, its remedy what the closed form says would fit."""
    smaller = next_micro_batch(recipe, memory_bytes=this_machine().available_bytes)
    remedy = "a smaller model or shorter sequences: one row does not fit" if smaller is None else smaller.describe()
    return OutOfMemoryError(error.what, where=error.where, remedy=remedy)


def claim(run_directory: Path, recipe: Recipe, *, fresh: bool = False) -> None:
    """Make the directory ours: refuse one that holds something else, and forget an earlier run if asked to."""
    with translated(run_directory):
        run_directory.mkdir(parents=True, exist_ok=True)
        ours = (run_directory / RECIPE_NAME).exists() or not any(
            path
            for path in run_directory.iterdir()
            if path.name != ".lock" and not path.match(UNFINISHED)  # the first call may have been killed
        )
    if not ours:
        raise InputError(
            "the directory holds other things, and no run (no recipe.toml)",
            where=str(run_directory),
            remedy="choose a directory that is empty or does not exist",
        )
    if fresh:
        begin_afresh(run_directory, recipe)
    if not (run_directory / RECIPE_NAME).exists():  # says whose the directory is, before anything else lies in it
        write_atomic(run_directory / RECIPE_NAME, recipe.to_toml().encode())
