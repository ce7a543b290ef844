"""The optimizer of a run: AdamW, SGD with momentum, or a function of yours; and its state by name.

    adamw   Loshchilov & Hutter 2019 (arXiv 1711.05101), one fused kernel where torch has one; 8·P bytes of state
    sgd     with momentum as torch has it (v ← μv + g, w ← w − ηv), decay added to the gradient; 4·P bytes of state
    package.module:function     called with (model, config), returns any torch.optim.Optimizer

Guarantee: matrices decay, norms do not. The state has names (that of its parameter), so a checkpoint can be read by
anyone, and comes back on whatever device the weights are. When β changes between two steps, the running means keep
their value: m and v are scaled by (1 − β'ᵗ)/(1 − βᵗ), because the kernel divides by 1 − β'ᵗ as if β' had always held;
without it, halving a batch at step 100 would change the size of the next update by tens of per cent. Price: nothing
where nothing changes (the fused step of 0.3 M weights takes 0.1–0.2 ms on a core), one pass over m and v where β does.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from batchwright.foundation.errors import InputError
from batchwright.foundation.named_function import function_named
from batchwright.training.config import TrainingConfig
from batchwright.training.hyper_parameters import HyperParameters
from batchwright.training.slices import check_sliceable, sharded

SCALAR = ".scalar"  # ends the name of a state that is a Python number, kept as a tensor of one
# How torch says that an operation does not know sharded tensors.
_ON_SLICES = ("DTensor", "sharding strategy", "Sharding propagation")
BETAS = "betas"  # beside the optimizer's own state: the β that m and v are means of


def build_optimizer(model: nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    """The optimizer that `config.optimizer` names; `set_hyper_parameters` before every step."""
    groups = parameter_groups(model, config.weight_decay)
    if config.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas, eps=config.epsilon, fused=True)
    if config.optimizer == "sgd":
        # torch 2.13 has no fused step of SGD for the sharded weights of FSDP.
        whole = not sharded(dict(model.named_parameters()))
        return torch.optim.SGD(groups, lr=config.learning_rate, momentum=config.momentum, fused=whole)
    made = function_named(config.optimizer, purpose="an optimizer")(model, config)
    if not isinstance(made, torch.optim.Optimizer):
        raise InputError(
            f"{config.optimizer} returned a {type(made).__name__}",
            remedy="a function (model, config) that returns a torch.optim.Optimizer",
        )
    return made


def make_update(optimizer: torch.optim.Optimizer) -> None:
    """One step. Raises InputError where the optimizer knows no step on the slices that FSDP gives it."""
    try:
        optimizer.step()
    except (RuntimeError, NotImplementedError) as error:
        if not any(words in str(error) for words in _ON_SLICES):
            raise
        raise InputError(
            f"{type(optimizer).__name__} cannot work on slices of weights: {str(error).splitlines()[0]}",
            remedy='parallel = "ddp"',
        ) from error


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Matrices, which decay, and the rest, which does not."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": weight_decay, "decays": True},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0, "decays": False},
    ]
    return [group for group in groups if group["params"]]


def set_hyper_parameters(optimizer: torch.optim.Optimizer, values: HyperParameters) -> None:
    """Make the next step with these; what they leave open stays as it is."""
    for group in optimizer.param_groups:
        group["lr"] = values.learning_rate
        if values.weight_decay is not None and group.setdefault("decays", bool(group.get("weight_decay"))):
            group["weight_decay"] = values.weight_decay
        if values.epsilon is not None and "eps" in group:
            group["eps"] = values.epsilon
        if values.betas is not None and BETAS in group:
            _set_betas(optimizer, group, values.betas)


@torch.no_grad()
def _set_betas(optimizer: torch.optim.Optimizer, group: dict[str, Any], betas: tuple[float, float]) -> None:
    """Other β from here on, with the bias-corrected means m̂ and v̂ as they are."""
    old: tuple[float, float] = group[BETAS]
    group[BETAS] = betas
    if old == betas or not isinstance(optimizer, torch.optim.Adam):
        return
    for parameter in group["params"]:
        state = optimizer.state.get(parameter)
        if state:
            steps = float(state["step"])
            for name, before, after in zip(("exp_avg", "exp_avg_sq"), old, betas, strict=True):
                state[name].mul_((1 - after**steps) / (1 - before**steps))


def optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's state by name, `exp_avg/blocks.0.…`; empty before the first step.

    A Python number becomes a tensor of one, `….scalar/blocks.0.…`; None is left out. With Adam, `betas/blocks.0.…`
    says what its means are means of. Raises InputError for a state that is neither.
    """
    groups = {parameter: group for group in optimizer.param_groups for parameter in group["params"]}
    found: dict[str, Tensor] = {}
    for name, parameter in model.named_parameters():
        state = optimizer.state.get(parameter)
        if not state:
            continue
        for key, tensor in _as_tensors(state, name):
            check_sliceable(tensor.shape, parameter, name=f"{key}/{name}")
            found[f"{key}/{name}"] = tensor
        if isinstance(optimizer, torch.optim.Adam):
            found[f"{BETAS}/{name}"] = torch.tensor(groups[parameter][BETAS], dtype=torch.float64)
    return found


def _as_tensors(state: Mapping[str, Any], name: str) -> Iterator[tuple[str, Tensor]]:
    for key, value in state.items():
        if isinstance(value, Tensor):
            yield key, value
        elif isinstance(value, (bool, int, float)):
            kind = {bool: torch.bool, int: torch.int64, float: torch.float64}[type(value)]
            yield key + SCALAR, torch.tensor(value, dtype=kind)
        elif value is not None:
            raise InputError(
                f"the optimizer keeps a {type(value).__name__} as {key!r} of {name}",
                remedy="tensors and numbers can be kept in a checkpoint",
            )


def restore_optimizer(model: nn.Module, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what `optimizer_tensors` gave; torch itself chooses the device and precision of each."""
    by_parameter: dict[str, dict[str, Any]] = {}
    for full_name, tensor in tensors.items():
        key, _, name = full_name.partition("/")
        scalar = key.endswith(SCALAR)
        by_parameter.setdefault(name, {})[key.removesuffix(SCALAR)] = tensor.item() if scalar else tensor
    names = {parameter: name for name, parameter in model.named_parameters()}
    document = optimizer.state_dict()
    for saved, group in zip(document["param_groups"], optimizer.param_groups, strict=True):
        for number, parameter in zip(saved["params"], group["params"], strict=True):
            state = by_parameter.get(names[parameter])
            if state:
                betas = state.pop(BETAS, None)
                saved[BETAS] = saved.get(BETAS) if betas is None else tuple(betas.tolist())
                document["state"][number] = state
    optimizer.load_state_dict(document)
