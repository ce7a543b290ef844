"""Leave out a range of positions, and go back before it if the run has already eaten of it.

Guarantee: what is decided is on disk before this returns, and saying it twice changes nothing more: a range that the
plan already skips is not skipped again, and the way back to a step is gone once for a recipe (with other settings, or
to another step, it is another way). Price: counting the documents reads the index of
at most 65,536 rows.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from batchwright.foundation.errors import InputError
from batchwright.foundation.files import write_atomic
from batchwright.recipe import Recipe
from batchwright.sequences.plan import Plan
from batchwright.sequences.sampler import Sampler
from batchwright.sequences.skipped import Skipped
from batchwright.sequences.timeline import Timeline
from batchwright.training.checkpoint import Progress, read_progress
from batchwright.training.checkpoint_write import Checkpoints
from batchwright.training.trainer import CHECKPOINTS_NAME
from batchwright.workflows.run_directory import (
    RECIPE_NAME,
    checkpoint_of_step,
    finish_going_back,
    go_back,
    recipe_of_run,
    went_back_before,
)
from batchwright.workflows.train import claim, open_data

MOST_ROWS = 2**16


@dataclass(frozen=True, kw_only=True)
class SkippedRange:
    """Positions [first, stop) that will not be eaten."""

    first: int
    stop: int
    rows: int  # of them, those that no earlier range skips
    documents: int | None  # distinct documents that have tokens in these rows; None: more than 65,536 rows
    already: bool  # the plan skipped all of it before


@dataclass(frozen=True, kw_only=True)
class Change:
    """The recipe to go on with, and what was decided."""

    recipe: Recipe
    went_back_to: int | None
    skipped: SkippedRange | None
    went_back_before: int | None = None  # the step that an earlier call of the same words went back to


def change_course(
    recipe: Recipe, run_directory: Path, *, skip: tuple[int, int] | None = None, from_step: int | None = None
) -> Change:
    """Decide to skip a range, to go back to a kept checkpoint, or both.

    Raises InputError: a range that is eaten already (with the checkpoint to go back to), a step without a checkpoint.
    """
    finish_going_back(run_directory)
    recipe = recipe_of_run(recipe, run_directory)
    if skip is None and from_step is not None and went_back_before(run_directory, from_step, recipe):
        return Change(recipe=recipe, went_back_to=None, skipped=None, went_back_before=from_step)
    skipped = None if skip is None else _skipped(recipe, *skip)
    if skipped is not None and skipped.already:
        return Change(recipe=recipe, went_back_to=None, skipped=skipped)
    if skipped is not None:
        _refuse_what_is_eaten(run_directory, skipped, from_step)
        ranges = tuple(sorted((*recipe.data.skip, (skipped.first, skipped.stop))))
        recipe = replace(recipe, data=replace(recipe.data, skip=ranges))
    claim(run_directory, recipe)
    if from_step is not None:
        go_back(run_directory, from_step, recipe)
    else:
        write_atomic(run_directory / RECIPE_NAME, recipe.to_toml().encode())
    return Change(recipe=recipe, went_back_to=from_step, skipped=skipped)


def _skipped(recipe: Recipe, first: int, stop: int) -> SkippedRange:
    """What a range holds in the plan as it is."""
    if not 0 <= first < stop:
        raise InputError(
            f"the range {first:,}:{stop:,} holds no position", remedy="FIRST:STOP with FIRST below STOP, from 0"
        )
    plan = open_data(recipe).plan
    timeline = Timeline(plan)
    before = timeline.skipped
    rows = before.eaten_before(stop) - before.eaten_before(first)
    return SkippedRange(
        first=first,
        stop=stop,
        rows=rows,
        documents=_documents(plan, timeline, before, first, rows) if rows <= MOST_ROWS else None,
        already=rows == 0,
    )


def _documents(plan: Plan, timeline: Timeline, skipped: Skipped, first: int, rows: int) -> int:
    """Distinct documents in the `rows` positions, from `first` on, that are not skipped."""
    placed = Sampler(plan, timeline).place(skipped.spans(skipped.eaten_before(first), rows)) if rows else None
    found: set[tuple[str, int]] = set()
    for stream, row in () if placed is None else placed.pairs():
        index = timeline.streams[stream].index
        starts, _ = index.segments_of(row)
        numbers = np.unique(index.document_table.documents_at(starts)).tolist()
        found.update((index.stored.fingerprint, number) for number in numbers)
    return len(found)


def _refuse_what_is_eaten(run_directory: Path, skipped: SkippedRange, from_step: int | None) -> None:
    """A range lies ahead of the checkpoint that the run goes on from; else say which one it lies ahead of."""
    kept = [read_progress(path) for path in Checkpoints(run_directory / CHECKPOINTS_NAME).committed()]
    if from_step is not None:
        checkpoint_of_step(run_directory, from_step)
        kept = [progress for progress in kept if progress.step <= from_step]
    eaten = _position(kept[-1]) if kept else 0
    if skipped.first >= eaten:
        return
    before = [progress for progress in kept if _position(progress) <= skipped.first]
    raise InputError(
        f"the positions {skipped.first:,} to {min(skipped.stop, eaten) - 1:,} are eaten already: step "
        f"{kept[-1].step:,} stands at position {eaten:,}",
        where=str(run_directory),
        remedy=f"--from-step {before[-1].step}, the newest kept checkpoint before it"
        if before
        else f"--fresh: no kept checkpoint lies before it (keep_checkpoints), or --skip from {eaten} on",
    )


def _position(progress: Progress) -> int:
    return int(progress.data["position"])
