"""The monitor inside the real training step sees what autograd says, and changes nothing."""

import numpy as np
import pytest
import torch

from batchwright.foundation.errors import InputError
from batchwright.measuring.noise_monitor import NoiseMonitor
from batchwright.measuring.synthetic import SyntheticBatch, SyntheticStep, synthetic_step
from batchwright.model.config import ModelConfig
from batchwright.model.transformer import Transformer
from batchwright.training.config import TrainingConfig
from batchwright.training.hyper_parameters import HyperParameters
from batchwright.training.objective import Objective
from batchwright.training.optimizer import build_optimizer
from batchwright.training.step import train_step
from tests.measuring.gram import Rows

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
    optimizer = build_optimizer(model, TRAINING)
    for number in range(1, steps + 1):
        train_step(
            Objective(model),
            optimizer,
            ragged_step(number),
            step=number,
            tokens_before=0,
            hyper_parameters=HyperParameters(learning_rate=1e-3),
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
        count = int(batch.loss_mask.sum())
        gradient = gradient_of(model, batch)
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


def test_at_frozen_weights_it_finds_the_exact_noise_scale_of_the_real_model():
    """Truth: the Gram matrix of 160 rows' own gradients. Measured: ragged steps drawn from those rows."""
    model, draw = Transformer(MODEL, seed=1), np.random.default_rng(7)
    pool = synthetic_step(vocabulary_size=9, micro_batch_size=160, sequence_length=16).batches[0]
    gradients = torch.stack([gradient_of(model, taken(pool, np.array([row]))) for row in range(160)]).double()
    truth = Rows(gram=(gradients @ gradients.T).numpy(), targets=np.full(160, 16))
    monitor, optimizer = NoiseMonitor(), build_optimizer(model, TRAINING)
    for number in range(1, 121):
        cut = np.split(draw.integers(0, 160, size=12), (1, 3, 7))
        step = SyntheticStep(batches=tuple(taken(pool, rows) for rows in cut))
        train_step(
            Objective(model),
            optimizer,
            step,
            step=number,
            tokens_before=0,
            hyper_parameters=HyperParameters(learning_rate=0.0),
            observers=[monitor],
        )
    estimate = monitor.estimate(confidence=0.99)
    assert estimate.resolved
    assert estimate.interval_tokens.covers(truth.noise_scale_tokens)
    assert estimate.token_variance == pytest.approx(truth.token_variance, rel=0.05)
    assert estimate.tokens == pytest.approx(truth.noise_scale_tokens, rel=0.25)


def taken(pool: SyntheticBatch, rows: np.ndarray) -> SyntheticBatch:
    """These rows of the pool as a micro-batch of their own."""
    return SyntheticBatch(
        inputs=pool.inputs[rows],
        targets=pool.targets[rows],
        loss_mask=pool.loss_mask[rows],
        position_ids=pool.position_ids[rows],
    )


def gradient_of(model: Transformer, batch: SyntheticBatch) -> torch.Tensor:
    """The gradient of the summed loss, flat."""
    objective = Objective(model)
    total = objective(*objective.tensors_of(batch))
    return torch.cat([gradient.flatten() for gradient in torch.autograd.grad(total, list(model.parameters()))])


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
    train_step(
        Objective(model),
        build_optimizer(model, TRAINING),
        step,
        step=1,
        tokens_before=0,
        hyper_parameters=HyperParameters(learning_rate=1e-3),
        observers=[monitor],
    )
    assert (monitor.steps, monitor.steps_passed_over) == (0, 1)


def test_a_rhythm_is_at_least_one_step():
    with pytest.raises(InputError, match="every 1 or more"):
        NoiseMonitor(every_steps=0)
