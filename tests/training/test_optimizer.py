"""Optimizers against their formulas, and state that goes away and comes back."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from batchwright.foundation.errors import InputError
from batchwright.model.config import ModelConfig
from batchwright.model.transformer import Transformer
from batchwright.training.config import TrainingConfig
from batchwright.training.hyper_parameters import HyperParameters
from batchwright.training.optimizer import (
    build_optimizer,
    optimizer_tensors,
    parameter_groups,
    restore_optimizer,
    set_hyper_parameters,
)

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
    optimizer = build_optimizer(model, TRAINING)
    set_hyper_parameters(optimizer, HyperParameters(learning_rate=0.01))
    stepped(model, optimizer, range(1))
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None
        decayed = before[name] * (1 - 0.01 * (0.5 if parameter.ndim > 1 else 0.0))
        # After one step both bias-corrected moments are those of the one gradient: g / (|g| + ε).
        expected = decayed - 0.01 * parameter.grad / (parameter.grad.abs() + TRAINING.epsilon)
        torch.testing.assert_close(parameter.detach(), expected, rtol=1e-5, atol=1e-6)


def test_sgd_with_momentum_is_its_formula_and_only_matrices_decay() -> None:
    model = Transformer(SHAPE, seed=0)
    optimizer = build_optimizer(model, replace(TRAINING, optimizer="sgd", momentum=0.8))
    expected = {name: p.detach().clone() for name, p in model.named_parameters()}
    velocity = {name: torch.zeros_like(value) for name, value in expected.items()}
    for step in range(3):
        set_hyper_parameters(optimizer, HyperParameters(learning_rate=0.1 / (1 + step)))
        stepped(model, optimizer, range(step, step + 1))
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None
            decay = 0.5 if parameter.ndim > 1 else 0.0
            velocity[name] = 0.8 * velocity[name] + parameter.grad + decay * expected[name]
            expected[name] -= 0.1 / (1 + step) * velocity[name]
            torch.testing.assert_close(parameter.detach(), expected[name], rtol=1e-5, atol=1e-6)


Build = Callable[[nn.Module, TrainingConfig], torch.optim.Optimizer]


def of_torch(kind: type[torch.optim.Optimizer], **more: Any) -> Build:
    return lambda model, config: kind(parameter_groups(model, config.weight_decay), lr=1e-2, **more)  # type: ignore[call-arg]


class CountingSGD(torch.optim.SGD):
    """Keeps Python numbers beside its tensors, as some optimizers do."""

    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for parameter in group["params"]:
                state = self.state[parameter]
                state["count"] = state.get("count", 0) + 1
                state["rate"] = 1.0 / state["count"]
                state["nothing"] = None
                parameter.grad.mul_(state["rate"])
        super().step(closure)


BUILDS: dict[str, Build] = {
    "adamw": build_optimizer,
    "sgd": lambda model, config: build_optimizer(model, replace(config, optimizer="sgd")),
    "nadam": of_torch(torch.optim.NAdam),
    "adagrad": of_torch(torch.optim.Adagrad),
    "rmsprop": of_torch(torch.optim.RMSprop, momentum=0.5, centered=True),
    "counting": of_torch(CountingSGD, momentum=0.9),
}


@pytest.mark.parametrize("name", BUILDS)
def test_state_by_name_comes_back_to_the_same_bits(name: str) -> None:
    build = BUILDS[name]
    straight, model = Transformer(SHAPE, seed=0), Transformer(SHAPE, seed=0)
    first, second = build(straight, TRAINING), build(model, TRAINING)
    stepped(straight, first, range(6))
    stepped(model, second, range(3))
    saved = {name: tensor.clone() for name, tensor in optimizer_tensors(model, second).items()}
    fresh = build(model, TRAINING)
    restore_optimizer(model, fresh, saved)
    stepped(model, fresh, range(3, 6))
    for a, b in zip(straight.parameters(), model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_state_of_adamw_has_the_names_of_torch() -> None:
    model = Transformer(SHAPE, seed=0)
    optimizer = build_optimizer(model, TRAINING)
    assert optimizer_tensors(model, optimizer) == {}, "before the first step there is none"
    stepped(model, optimizer, range(1))
    names = ("step", "exp_avg", "exp_avg_sq", "betas")
    assert set(optimizer_tensors(model, optimizer)) == {f"{s}/{n}" for s in names for n, _ in model.named_parameters()}


def test_a_state_that_no_checkpoint_could_hold_is_refused() -> None:
    model = Transformer(SHAPE, seed=0)
    optimizer = build_optimizer(model, TRAINING)
    stepped(model, optimizer, range(1))
    optimizer.state[model.output_weight]["history"] = ["a list"]
    with pytest.raises(InputError, match="keeps a list as 'history' of"):
        optimizer_tensors(model, optimizer)


def test_a_step_takes_the_numbers_it_is_given_and_norms_still_do_not_decay() -> None:
    optimizer = build_optimizer(Transformer(SHAPE, seed=0), TRAINING)
    for decay in (0.0, 0.25):  # a decay of 0 is not "never again"
        values = HyperParameters(learning_rate=0.3, betas=(0.8, 0.9), epsilon=1e-6, weight_decay=decay)
        set_hyper_parameters(optimizer, values)
        assert [group["weight_decay"] for group in optimizer.param_groups] == [decay, 0.0]
    assert {(g["lr"], g["betas"], g["eps"]) for g in optimizer.param_groups} == {(0.3, (0.8, 0.9), 1e-6)}
    set_hyper_parameters(optimizer, HyperParameters(learning_rate=0.1))
    assert {(g["lr"], g["betas"], g["eps"]) for g in optimizer.param_groups} == {(0.1, (0.8, 0.9), 1e-6)}


def largest_update(change: Callable[[torch.optim.Optimizer, int], None]) -> float:
    """Under a gradient that never changes, Adam's update is the learning rate, whatever its β: m̂ = g, v̂ = g²."""
    model = Transformer(SHAPE, seed=0)
    optimizer = build_optimizer(model, replace(TRAINING, weight_decay=0.0, learning_rate=1e-3))
    largest = 0.0
    for step in range(1, 13):
        change(optimizer, step)
        before = [p.detach().clone() for p in model.parameters()]
        stepped(model, optimizer, range(1))
        moved = max(float((p.detach() - b).abs().max()) for p, b in zip(model.parameters(), before, strict=True))
        largest = max(largest, moved)
    return largest


def betas_of(step: int) -> tuple[float, float]:
    return (0.9, 0.999) if step <= 6 else (0.95, 0.9)


def test_a_change_of_beta_does_not_change_the_size_of_an_update() -> None:
    kept = largest_update(
        lambda optimizer, step: set_hyper_parameters(
            optimizer, HyperParameters(learning_rate=1e-3, betas=betas_of(step))
        )
    )
    assert kept == pytest.approx(1e-3, rel=1e-3)

    def broken(optimizer: torch.optim.Optimizer, step: int) -> None:  # what writing into the groups alone does
        for group in optimizer.param_groups:
            group["betas"] = betas_of(step)

    assert largest_update(broken) > 3e-3


def test_a_change_of_beta_survives_a_checkpoint() -> None:
    straight, model = Transformer(SHAPE, seed=0), Transformer(SHAPE, seed=0)
    first, second = build_optimizer(straight, TRAINING), build_optimizer(model, TRAINING)
    for step in range(6):
        values = HyperParameters(learning_rate=0.01, betas=(0.9, 0.95 - 0.05 * (step // 2)))
        if step == 3:
            saved = {name: tensor.clone() for name, tensor in optimizer_tensors(model, second).items()}
            second = build_optimizer(model, TRAINING)
            restore_optimizer(model, second, saved)
        for each, optimizer in ((straight, first), (model, second)):
            set_hyper_parameters(optimizer, values)
            stepped(each, optimizer, range(step, step + 1))
    for a, b in zip(straight.parameters(), model.parameters(), strict=True):
        assert torch.equal(a, b)


def plain_adagrad(model: nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    return torch.optim.Adagrad(parameter_groups(model, config.weight_decay), lr=config.learning_rate)


def no_optimizer(model: nn.Module, config: TrainingConfig) -> int:
    return 3


def test_an_optimizer_of_ones_own_is_named_by_module_and_function() -> None:
    config = replace(TRAINING, optimizer=f"{__name__}:plain_adagrad")
    assert isinstance(build_optimizer(Transformer(SHAPE, seed=0), config), torch.optim.Adagrad)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (f"{__name__}:no_optimizer", "returned a int"),
        (f"{__name__}:plain_adagrab", "has no function 'plain_adagrab'"),
        ("no_such_package.at_all:build", "cannot be imported: No module named 'no_such_package'"),
    ],
)
def test_what_is_no_optimizer_is_refused(name: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        build_optimizer(Transformer(SHAPE, seed=0), replace(TRAINING, optimizer=name))


@pytest.mark.parametrize("name", ["adam", "os.system", "a:b:c", "a b:c", "torch.optim:AdamW()"])
def test_a_name_of_another_form_is_refused_with_those_that_there_are(name: str) -> None:
    with pytest.raises(InputError, match=r"must be adamw, sgd or package\.module:function"):
        replace(TRAINING, optimizer=name)


def test_numbers_that_no_step_can_be_made_with_are_refused() -> None:
    with pytest.raises(InputError, match="learning rate of a step is nan"):
        HyperParameters(learning_rate=math.nan)
    with pytest.raises(InputError, match="betas of a step"):
        HyperParameters(learning_rate=1.0, betas=(0.9, 1.0))
