"""Optimizers that a recipe names by their function, whose state is not shaped as the weights."""

from typing import Any

import torch
from torch import nn


class Factored(torch.optim.Optimizer):
    """Keeps a mean of squares per row, as Adafactor does, and counts in a Python number."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for parameter in group["params"]:
                state, rows = self.state[parameter], parameter.grad.square().mean(-1, keepdim=True)
                state["steps"] = state.get("steps", 0) + 1
                state["rows"] = rows if state["steps"] == 1 else (state["rows"] + rows) / 2
                parameter.sub_(group["lr"] * parameter.grad / (state["rows"].sqrt() + 1e-3))


def factored(model: nn.Module, config: Any) -> torch.optim.Optimizer:
    return Factored(model.parameters(), {"lr": config.learning_rate})


def adafactor(model: nn.Module, config: Any) -> torch.optim.Optimizer:
    return torch.optim.Adafactor(model.parameters(), lr=config.learning_rate)
