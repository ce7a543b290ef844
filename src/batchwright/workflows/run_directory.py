"""What a run directory remembers beside its checkpoints: which positions its run skips, and a way back half gone.

    recipe.toml        the recipe of the run; its [data] skip holds for every later start, whatever recipe is given
    going-back.json    only between the decision to go back to an earlier checkpoint and its end: the step, the recipe;
                       step 0 is the beginning (`--fresh`)
    went-back.json     the last way back that was gone to its end: asked for again, it is not gone again

Guarantee: a decision is one atomic write; whoever finds `going-back.json` finishes what it says, so a kill at any
moment leaves the run before the decision or after it. What was made of later checkpoints goes with them. Price: later
checkpoints are deleted: the way that they stand on can be trained again, bit for bit, but not looked up.
"""

import tomllib
from dataclasses import replace
from pathlib import Path

from batchwright.foundation.errors import CorruptDataError, InputError
from batchwright.foundation.files import (
    TEMPORARY_SUFFIX,
    WriterLock,
    read_json,
    sync_directory,
    translated,
    write_atomic,
    write_json,
)
from batchwright.recipe import Recipe
from batchwright.training.checkpoint_write import Checkpoints
from batchwright.training.trainer import CHECKPOINTS_NAME, LOG_NAME
from batchwright.workflows.calls import CALLS_NAME
from batchwright.workflows.sample import SAMPLES_NAME

RECIPE_NAME = "recipe.toml"
GOING_BACK_NAME, WENT_BACK_NAME = "going-back.json", "went-back.json"
UNFINISHED = f".*{TEMPORARY_SUFFIX}"  # names of files whose writer was killed


def recipe_of_run(recipe: Recipe, run_directory: Path) -> Recipe:
    """A recipe with the ranges that the run in this directory skips."""
    skips = sorted({*recipe.data.skip, *_kept_skips(run_directory / RECIPE_NAME)})
    return replace(recipe, data=replace(recipe.data, skip=tuple(skips)))


def _kept_skips(path: Path) -> list[tuple[int, int]]:
    if not path.is_file():
        return []
    with translated(path):
        text = path.read_text(encoding="utf-8")
    try:
        return [(int(first), int(stop)) for first, stop in tomllib.loads(text).get("data", {}).get("skip", [])]
    except (ValueError, TypeError, AttributeError) as error:
        raise CorruptDataError(
            f"the recipe of this run cannot be read: {error}", where=str(path), remedy="put it back as it was written"
        ) from error


def checkpoint_of_step(run_directory: Path, step: int) -> Path:
    """The kept checkpoint of a step. Raises InputError naming those that there are."""
    found = {path.name: path for path in Checkpoints(run_directory / CHECKPOINTS_NAME).committed()}
    if f"step-{step}" not in found:
        kept = ", ".join(name.removeprefix("step-") for name in found)
        raise InputError(
            f"there is no checkpoint of step {step:,}",
            where=str(run_directory),
            remedy=f"--from-step with one of: {kept}" if kept else "this run has no checkpoint yet",
        )
    return found[f"step-{step}"]


def go_back(run_directory: Path, step: int, recipe: Recipe) -> None:
    """Make `step` the newest checkpoint and `recipe` the run's: decided at once, then done."""
    checkpoint_of_step(run_directory, step)
    _decide(run_directory, step, recipe)


def went_back_before(run_directory: Path, step: int, recipe: Recipe) -> bool:
    """Whether the last way back was to this step with this recipe: going it again would only train the same again, and
    a call that torchrun restarts, or that was killed, would never come to an end."""
    done = run_directory / WENT_BACK_NAME
    return done.is_file() and read_json(done) == _decision(step, recipe)


def begin_afresh(run_directory: Path, recipe: Recipe) -> None:
    """Forget what was trained in this directory and by which calls, and make `recipe` the run's."""
    _decide(run_directory, 0, recipe)


def _decide(run_directory: Path, step: int, recipe: Recipe) -> None:
    with WriterLock(run_directory):
        write_json(run_directory / GOING_BACK_NAME, _decision(step, recipe))
    finish_going_back(run_directory)


def _decision(step: int, recipe: Recipe) -> dict[str, int | str]:
    return {"step": step, "recipe": recipe.to_toml()}


def finish_going_back(run_directory: Path) -> None:
    """Do what is left of a decision to go back; nothing, if there is none."""
    decision = run_directory / GOING_BACK_NAME
    if not decision.is_file():
        return
    with WriterLock(run_directory):
        value = read_json(decision)
        checkpoints = Checkpoints(run_directory / CHECKPOINTS_NAME)
        checkpoints.forget_after(value["step"])
        with translated(decision):
            if checkpoints.directory.is_dir():
                sync_directory(checkpoints.directory)  # a power cut must not bring them back without the decision
            for name in (SAMPLES_NAME, *((LOG_NAME, CALLS_NAME, WENT_BACK_NAME) if value["step"] == 0 else ())):
                (run_directory / name).unlink(missing_ok=True)
            write_atomic(run_directory / RECIPE_NAME, value["recipe"].encode())
            if value["step"] == 0:
                decision.unlink()
            else:
                decision.replace(run_directory / WENT_BACK_NAME)
            sync_directory(run_directory)


def remove_unfinished(run_directory: Path) -> None:
    """Delete the files that killed writers left behind. Only for the holder of the directory's lock."""
    with translated(run_directory):
        for path in run_directory.glob(UNFINISHED):
            path.unlink(missing_ok=True)
