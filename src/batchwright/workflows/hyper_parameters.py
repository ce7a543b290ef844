"""A recipe's `scale_with_batch` becomes the rule that gives every step its numbers: planning's rules for training.

Guarantee: at the reference batch the run is, bit for bit, the one without a rule; at any other the numbers are the
bundle's, and the schedule goes on multiplying the rate as a function of tokens. Price: microseconds a step.
"""

from dataclasses import dataclass

from batchwright.foundation.errors import InputError
from batchwright.planning.scaling_bundles import FOR_ADAM, Bundle, bundle_named
from batchwright.planning.scaling_rules import Hyperparameters, Scaled
from batchwright.training.config import TrainingConfig
from batchwright.training.hyper_parameters import HyperParameters
from batchwright.training.lr_schedule import LearningRateSchedule


@dataclass(frozen=True, kw_only=True)
class BatchScaledHyperParameters:
    """A schedule of the learning rate, and what a step's batch makes of it and of the other numbers."""

    schedule: LearningRateSchedule
    reference: Hyperparameters
    bundle: Bundle

    def at_batch(self, tokens_per_step: int) -> Scaled:
        """The peak numbers at a batch, with reasons and what was clipped."""
        return self.bundle(self.reference, tokens_per_step)

    def for_step(
        self, *, step: int, tokens_before: int, tokens_of_step: int, global_batch_size: int
    ) -> HyperParameters:
        value = self.at_batch(tokens_of_step).value
        factor = value.learning_rate / self.reference.learning_rate
        return HyperParameters(
            learning_rate=factor * self.schedule.for_step(tokens_before, tokens_of_step),
            betas=(value.beta1, value.beta2),
            epsilon=value.epsilon,
            weight_decay=value.weight_decay,
        )


def hyper_parameter_rule(training: TrainingConfig) -> BatchScaledHyperParameters | None:
    """The rule that a recipe names; none: the numbers stay as they are. Raises InputError (a bundle for Adam, with
    SGD)."""
    if training.scale_with_batch == "none":
        return None
    if training.optimizer == "sgd" and training.scale_with_batch in FOR_ADAM:
        raise InputError(
            f"scale_with_batch = {training.scale_with_batch!r} changes β₂, and SGD has none",
            remedy="scale_with_batch = 'linear', or optimizer = 'adamw'",
        )
    length, half = training.sequence_length, training.half_batch_size
    return BatchScaledHyperParameters(
        schedule=LearningRateSchedule.of(training),
        reference=Hyperparameters(
            tokens_per_step=(training.reference_batch_size or training.global_batch_size) * length,
            learning_rate=training.learning_rate,
            beta1=training.betas[0],
            beta2=training.betas[1],
            epsilon=training.epsilon,
            weight_decay=training.weight_decay,
            tokens=training.tokens,
        ),
        bundle=bundle_named(training.scale_with_batch, half_batch_tokens=None if half is None else half * length),
    )
