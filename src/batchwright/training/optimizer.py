"""AdamW (Loshchilov & Hutter 2019, arXiv 1711.05101), one fused kernel where torch has one.

Guarantee: matrices decay, norms do not; the state has names (that of its parameter), so a checkpoint can be read by
anyone. Price: two more fp32 numbers per weight, 8·P bytes; the fused step of 0.3 M weights takes 0.1–0.2 ms on a core.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from batchwright.training.config import TrainingConfig

STATE_NAMES = ("step", "exp_avg", "exp_avg_sq")  # torch's own names: steps taken, first and second moment


def adamw(model: nn.Module, config: TrainingConfig) -> torch.optim.AdamW:
    """The optimizer of a run; `set_learning_rate` before every step."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=config.learning_rate,
        betas=config.betas,
        eps=config.epsilon,
        fused=True,
    )


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = learning_rate


def optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's state by name, `exp_avg/blocks.0.…`; empty before the first step."""
    return {
        f"{state}/{name}": optimizer.state[parameter][state]
        for name, parameter in model.named_parameters()
        if parameter in optimizer.state
        for state in STATE_NAMES
    }


def restore_optimizer(model: nn.Module, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what `optimizer_tensors` gave."""
    for name, parameter in model.named_parameters():
        if f"step/{name}" in tensors:
            optimizer.state[parameter] = {
                state: tensors[f"{state}/{name}"].to(parameter.device if state != "step" else "cpu")
                for state in STATE_NAMES
            }
