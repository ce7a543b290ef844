"""The monitor inside the real training step sees what autograd says, and changes nothing."""

import pytest
import torch

from batchwright.foundation.errors import InputError
from batchwright.measuring.noise_monitor import NoiseMonitor
from batchwright.measuring.synthetic import SyntheticBatch, SyntheticStep, synthetic_step
from batchwright.model.config import ModelConfig
from batchwright.model.transformer import Transformer
from batchwright.training.config import TrainingConfig
from batchwright.training.optimizer import adamw
from batchwright.training.step import micro_batch_loss, train_step

MODEL = ModelConfig(vocabulary_size=61, sequence_length=16, width=16, layers=2, heads=2, feed_forward_width=24)
TRAINING = TrainingConfig(
    global_batch_size=6, micro_batch_size=2, sequence_length=16, tokens=10_000, learning_rate=1e-3
)


def ragged_step(seed: int = 0) -> SyntheticStep:
    """Three micro-batches of 2 rows with 32, 20 and 5 targets, and one of filler."""
    step = synthetic_step(vocabulary_size=61, micro_batch_size=2, sequence_length=16, micro_batches=4, seed=seed)
    batches: list[SyntheticBatch] = []
    for batch, kept in zip(step.batches, (32, 20, 5, 0), strict=True):
        mask = batch.loss_mask.copy().reshape(-1)
        mask[kept:] = False
        batches.append(
            SyntheticBatch(
                inputs=batch.inputs,
                targets=batch.targets,
                loss_mask=mask.reshape(batch.loss_mask.shape),
                position_ids=batch.position_ids,
            )
        )
    return SyntheticStep(batches=tuple(batches))


def run(monitor: NoiseMonitor | None, steps: int = 2) -> Transformer:
    model = Transformer(MODEL, seed=1)
    optimizer = adamw(model, TRAINING)
    for number in range(1, steps + 1):
        train_step(
            model,
            optimizer,
            ragged_step(number),
            step=number,
            tokens_before=0,
            learning_rate=1e-3,
            clip_norm=0.01,
            observers=[] if monitor is None else [monitor],
        )
    return model


def test_it_sees_the_norms_of_every_micro_batch_s_own_mean_gradient_before_clipping():
    monitor = NoiseMonitor()
    run(monitor, steps=1)
    model = Transformer(MODEL, seed=1)
    norms, whole, targets = [], None, []
    for batch in ragged_step(1).batches[:3]:
        total, count = micro_batch_loss(model, batch)
        gradient = torch.cat([g.flatten() for g in torch.autograd.grad(total, list(model.parameters()))])
        norms.append(float((gradient / count).square().sum()))
        targets.append(count)
        whole = gradient if whole is None else whole + gradient
    assert whole is not None
    w = sum(targets)
    p = sum(n * t for n, t in zip(norms, targets, strict=True)) / w
    q = float((whole / w).square().sum())
    estimate = monitor.estimate()
    assert estimate.token_variance == pytest.approx((p - q) * w / 2, rel=1e-4)
    assert estimate.squared_gradient == pytest.approx((3 * q - p) / 2, rel=1e-4)


def test_watching_changes_no_bit_of_the_run():
    watched, alone = run(NoiseMonitor()), run(None)
    for name, parameter in alone.named_parameters():
        assert torch.equal(parameter, watched.get_parameter(name)), name


def test_it_watches_only_the_steps_it_was_asked_for():
    monitor = NoiseMonitor(every_steps=3)
    run(monitor, steps=7)
    assert monitor.steps == 2


def test_a_step_of_one_micro_batch_is_passed_over_and_counted():
    monitor = NoiseMonitor()
    model = Transformer(MODEL, seed=1)
    step = synthetic_step(vocabulary_size=61, micro_batch_size=2, sequence_length=16)
    train_step(model, adamw(model, TRAINING), step, step=1, tokens_before=0, learning_rate=1e-3, observers=[monitor])
    assert (monitor.steps, monitor.steps_passed_over) == (0, 1)


def test_a_rhythm_is_at_least_one_step():
    with pytest.raises(InputError, match="every 1 or more"):
        NoiseMonitor(every_steps=0)
