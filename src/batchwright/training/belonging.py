"""What must fit together before a step is made: model and plan, recipe and plan, checkpoint and recipe.

Guarantee: each check raises InputError with both numbers (or every difference by name) and what would fit. Price: a few
comparisons when a run begins.
"""

from typing import Any

from batchwright.foundation.errors import InputError
from batchwright.model.description import ModelDescription
from batchwright.sequences.index import SequenceIndex
from batchwright.sequences.plan import Plan, differing
from batchwright.training.checkpoint import Progress
from batchwright.training.config import TrainingConfig
from batchwright.training.same_run import differences


def check_same_run(progress: Progress, model: ModelDescription, config: TrainingConfig, *, where: str) -> None:
    """Refuse a checkpoint that this recipe did not make, and say in what it differs."""
    found = [
        *(f"model.{each}" for each in differing(progress.model, model.to_dict())),
        *(f"training.{each}" for each in differences(progress.training, config, tokens=progress.tokens)),
    ]
    if found:
        raise InputError(
            f"the checkpoint belongs to another run: {'; '.join(found)}",
            where=where,
            remedy="put these values back, or train in a new run directory",
        )


def check_lengths(model: ModelDescription, config: TrainingConfig, plan: Plan) -> None:
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


def check_vocabulary(config: ModelDescription, index: SequenceIndex) -> None:
    """A larger vocabulary than the store's is allowed (some round it up); a smaller one could not read its ids."""
    needed = index.stored.vocabulary_size
    if config.vocabulary_size < needed:
        raise InputError(
            f"the model knows {config.vocabulary_size:,} ids, the store holds {needed:,}",
            where=str(index.stored.directory),
            remedy=f"vocabulary_size = {needed}",
        )


def facts_of(
    model: ModelDescription, config: TrainingConfig, plan: Plan, validation: SequenceIndex | None
) -> dict[str, Any]:
    """What must be the same on every rank of a run."""
    indexes = [*plan.indexes, *([] if validation is None else [validation])]
    return {
        "model": model.to_dict(),
        "training": {name: value for name, value in config.to_dict().items() if name != "threads"},
        "plan": plan.to_dict(),
        "stores": [index.stored.fingerprint for index in indexes],
    }
