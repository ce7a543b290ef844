"""The plan that a recipe describes: its sources, the stages appended to them, and the ranges that are skipped.

    [data] sources            from position 0 on
    [[data.stages]]           from `at_position`, or from the first step that begins at or after `at_tokens`, or after
                              `at_step` updates: what a stage does not say stays as it was
    [data] skip               [[first, stop], …] positions that nobody eats, each as if decided at its first one

Guarantee: what lies before a stage or a range does not depend on it, wherever in the recipe it was added; so a run
that is taken up with another future is the same run, and one whose past was edited is refused by its checkpoint.
Price: one bisection per stage.
"""

from collections.abc import Callable

from batchwright.batches.schedule import BatchSchedule
from batchwright.foundation.errors import InputError
from batchwright.recipe import Recipe, SourceRecipe, StageRecipe
from batchwright.sequences.batch_rule import ConstantBatch
from batchwright.sequences.plan import Plan
from batchwright.sequences.stage import Source, Stage

OpenSource = Callable[[SourceRecipe, int], Source]
"""(source, T) → its rows."""


def plan_of(recipe: Recipe, open_source: OpenSource) -> Plan:
    """The plan. Raises InputError with the number of the stage that does not fit."""
    data = recipe.data
    named, length = data.sources or (SourceRecipe(name="text", store=data.store),), recipe.training.sequence_length
    plan = Plan.mix([open_source(source, length) for source in named], seed=data.seed)
    ranges = sorted(data.skip)
    for number, stage in enumerate(data.stages, start=1):
        named, length = stage.sources or named, stage.sequence_length or length
        try:
            while ranges and ranges[0][0] < _position_of(stage, plan, recipe):
                plan = plan.skip(*ranges.pop(0))
            plan = plan.append(
                Stage(
                    first_position=_position_of(stage, plan, recipe),
                    seed=plan.stages[-1].seed if stage.seed is None else stage.seed,
                    sources=tuple(open_source(source, length) for source in named),
                    batch=None if stage.global_batch_size is None else ConstantBatch(size=stage.global_batch_size),
                )
            )
        except InputError as error:
            raise error.within(f"number {number} of [[data.stages]]") from error
    for first, stop in ranges:
        plan = plan.skip(first, stop)
    return plan


def _position_of(stage: StageRecipe, plan: Plan, recipe: Recipe) -> int:
    """Where a stage begins, counted in the plan that it is appended to."""
    if stage.at_position is not None:
        return stage.at_position
    schedule = BatchSchedule(plan, recipe.training.batch_rule)
    step = schedule.steps_for(stage.at_tokens) if stage.at_tokens is not None else stage.at_step
    assert step is not None, "a stage says one of the three"
    return schedule.step_at(step).first_position
