"""AdamW against its formula, and state that goes away and comes back."""

import math

import pytest
import torch

from batchwright.model.config import ModelConfig
from batchwright.model.transformer import Transformer
from batchwright.training.config import TrainingConfig
from batchwright.training.optimizer import adamw, optimizer_tensors, restore_optimizer, set_learning_rate

SHAPE = ModelConfig(vocabulary_size=11, sequence_length=4, width=4, layers=1, heads=1, feed_forward_width=4)
TRAINING = TrainingConfig(
    global_batch_size=1, micro_batch_size=1, sequence_length=4, tokens=99, learning_rate=1.0, weight_decay=0.5
)


def stepped(model: Transformer, optimizer: torch.optim.Optimizer, seeds: range) -> None:
    for seed in seeds:
        draw = torch.Generator().manual_seed(seed)
        for parameter in model.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=draw)
        optimizer.step()


def test_the_first_step_is_the_papers_formula_and_only_matrices_decay() -> None:
    model = Transformer(SHAPE, seed=0)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = adamw(model, TRAINING)
    set_learning_rate(optimizer, 0.01)
    stepped(model, optimizer, range(1))
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None
        decayed = before[name] * (1 - 0.01 * (0.5 if parameter.ndim > 1 else 0.0))
        # After one step both bias-corrected moments are those of the one gradient: g / (|g| + ε).
        expected = decayed - 0.01 * parameter.grad / (parameter.grad.abs() + TRAINING.epsilon)
        torch.testing.assert_close(parameter.detach(), expected, rtol=1e-5, atol=1e-6)


def test_state_by_name_comes_back_to_the_same_bits() -> None:
    straight, model = Transformer(SHAPE, seed=0), Transformer(SHAPE, seed=0)
    first, second = adamw(straight, TRAINING), adamw(model, TRAINING)
    stepped(straight, first, range(6))
    stepped(model, second, range(3))
    saved = {name: tensor.clone() for name, tensor in optimizer_tensors(model, second).items()}
    assert set(saved) == {
        f"{state}/{name}" for state in ("step", "exp_avg", "exp_avg_sq") for name, _ in model.named_parameters()
    }
    fresh = adamw(model, TRAINING)
    restore_optimizer(model, fresh, saved)
    stepped(model, fresh, range(3, 6))
    for a, b in zip(straight.parameters(), model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_before_the_first_step_there_is_no_state() -> None:
    model = Transformer(SHAPE, seed=0)
    assert optimizer_tensors(model, adamw(model, TRAINING)) == {}
    assert math.isclose(adamw(model, TRAINING).param_groups[1]["weight_decay"], 0.0)


@pytest.mark.parametrize("rate", [0.0, 0.3])
def test_every_group_gets_the_learning_rate(rate: float) -> None:
    optimizer = adamw(Transformer(SHAPE, seed=0), TRAINING)
    set_learning_rate(optimizer, rate)
    assert {group["lr"] for group in optimizer.param_groups} == {rate}
