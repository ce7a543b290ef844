"""A recipe's bundle, step by step."""

from dataclasses import replace
from typing import get_args

import pytest

from batchwright.foundation.errors import InputError
from batchwright.planning.scaling_bundles import FOR_ADAM, NAMES
from batchwright.training.config import BatchScaling, TrainingConfig
from batchwright.training.hyper_parameters import HyperParameters, ScheduledLearningRate
from batchwright.training.lr_schedule import LearningRateSchedule
from batchwright.workflows.hyper_parameters import BatchScaledHyperParameters, hyper_parameter_rule

TRAINING = TrainingConfig(
    global_batch_size=16,
    micro_batch_size=4,
    sequence_length=8,
    tokens=10_000,
    learning_rate=1e-2,
    betas=(0.9, 0.99),
    warmup_tokens=1_000,
    scale_with_batch="sqrt",
)


def rule(training: TrainingConfig) -> BatchScaledHyperParameters:
    made = hyper_parameter_rule(training)
    assert made is not None
    return made


def at(made: BatchScaledHyperParameters | ScheduledLearningRate, size: int, before: int = 1_000) -> HyperParameters:
    return made.for_step(step=1, tokens_before=before, tokens_of_step=size * 8, global_batch_size=size)


def test_the_names_of_a_recipe_are_the_bundles_that_there_are() -> None:
    assert get_args(BatchScaling) == ("none", *NAMES)
    assert hyper_parameter_rule(replace(TRAINING, scale_with_batch="none")) is None


def test_at_the_reference_batch_a_step_is_the_one_without_a_rule() -> None:
    plain = ScheduledLearningRate(schedule=LearningRateSchedule.of(TRAINING))
    for before in (0, 500, 1_000, 7_003):
        scaled = at(rule(TRAINING), 16, before)
        assert scaled.learning_rate == at(plain, 16, before).learning_rate
        assert (scaled.betas, scaled.epsilon, scaled.weight_decay) == (TRAINING.betas, 1e-8, 0.1)


def test_another_batch_changes_the_numbers_and_the_schedule_goes_on() -> None:
    made = rule(replace(TRAINING, reference_batch_size=64))
    quarter = at(made, 16)
    assert quarter.learning_rate == pytest.approx(0.5 * LearningRateSchedule.of(TRAINING).for_step(1_000, 128))
    assert quarter.betas == pytest.approx((0.9, 0.99**0.25))
    assert (quarter.epsilon, quarter.weight_decay) == pytest.approx((2e-8, 0.05))


def test_the_half_way_batch_is_counted_in_sequences() -> None:
    made = rule(replace(TRAINING, scale_with_batch="saturating", half_batch_size=16))
    assert made.at_batch(10**12).value.learning_rate == pytest.approx(2e-2)  # half of the limit at the reference


@pytest.mark.parametrize("name", FOR_ADAM)
def test_a_bundle_for_adam_is_refused_with_sgd(name: BatchScaling) -> None:
    with pytest.raises(InputError, match="and SGD has none"):
        hyper_parameter_rule(replace(TRAINING, optimizer="sgd", scale_with_batch=name))


def test_a_half_way_batch_belongs_to_the_saturating_bundle_alone() -> None:
    with pytest.raises(InputError, match="must be left out"):
        replace(TRAINING, half_batch_size=3)
    with pytest.raises(InputError, match="half_batch_size is None, and must be given"):
        replace(TRAINING, scale_with_batch="saturating")
