"""What a run directory remembers beside its checkpoints: which positions its run skips, and a way back half gone.

    recipe.toml        the recipe of the run; its [data] skip holds for every later start, whatever recipe is given
    going-back.json    only between the decision to go back to an earlier checkpoint and its end: the step, the recipe

Guarantee: a decision is one atomic write; whoever finds `going-back.json` finishes what it says, so a kill at any
moment leaves the run before the decision or after it. Price: later checkpoints are deleted: the way that they stand
on can be trained again, bit for bit, but not looked up.
"""

import tomllib
from dataclasses import replace
from pathlib import Path

from batchwright.foundation.errors import CorruptDataError, InputError
from batchwright.foundation.files import WriterLock, read_json, translated, write_atomic, write_json
from batchwright.recipe import Recipe
from batchwright.training.checkpoint_write import Checkpoints
from batchwright.training.trainer import CHECKPOINTS_NAME

RECIPE_NAME = "recipe.toml"
GOING_BACK_NAME = "going-back.json"


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
    with WriterLock(run_directory):
        write_json(run_directory / GOING_BACK_NAME, {"step": step, "recipe": recipe.to_toml()})
    finish_going_back(run_directory)


def finish_going_back(run_directory: Path) -> None:
    """Do what is left of a decision to go back; nothing, if there is none."""
    decision = run_directory / GOING_BACK_NAME
    if not decision.is_file():
        return
    with WriterLock(run_directory):
        value = read_json(decision)
        Checkpoints(run_directory / CHECKPOINTS_NAME).forget_after(value["step"])
        write_atomic(run_directory / RECIPE_NAME, value["recipe"].encode())
        with translated(decision):
            decision.unlink()
