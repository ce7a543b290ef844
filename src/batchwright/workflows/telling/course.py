"""What a run leaves out, where it went back to, and what its batch makes of the learning rate, in sentences."""

from batchwright.training.config import TrainingConfig
from batchwright.workflows.change_course import Change
from batchwright.workflows.hyper_parameters import BatchScaledHyperParameters
from batchwright.workflows.strings import Say


def tell_change(change: Change, say: Say) -> list[str]:
    """What was decided before the run goes on."""
    told: list[str] = []
    if change.went_back_to is not None:
        told.append(say("course.back", step=f"{change.went_back_to:,}"))
    if change.went_back_before is not None:
        told.append(say("course.back_before", step=f"{change.went_back_before:,}"))
    skipped = change.skipped
    if skipped is None:
        return told
    place = {"first": f"{skipped.first:,}", "last": f"{skipped.stop - 1:,}"}
    if skipped.already:
        return [*told, say("course.already", **place)]
    if skipped.documents is None:
        return [*told, say("course.skipped_rows", rows=f"{skipped.rows:,}", **place)]
    return [*told, say("course.skipped", rows=f"{skipped.rows:,}", documents=f"{skipped.documents:,}", **place)]


def tell_scaling(rule: BatchScaledHyperParameters | None, training: TrainingConfig, say: Say) -> list[str]:
    """The numbers at the first batch and at the last, and which of them had to be clipped."""
    if rule is None:
        return []
    told: list[str] = []
    for size in sorted({training.batch_rule.size_at(0), training.global_batch_size}):
        found = rule.at_batch(size * training.sequence_length)
        told.append(
            say(
                "course.scaled",
                bundle=training.scale_with_batch,
                size=f"{size:,}",
                rate=f"{found.value.learning_rate:.3g}",
                beta1=f"{found.value.beta1:.4g}",
                beta2=f"{found.value.beta2:.6g}",
                decay=f"{found.value.weight_decay:.3g}",
                epsilon=f"{found.value.epsilon:.2g}",
            )
        )
        told += [say("course.clipped", names=", ".join(found.clipped))] if found.clipped else []
    return told
