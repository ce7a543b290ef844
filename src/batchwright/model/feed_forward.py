"""The feed-forward layer of a block, in its two forms: down(silu(gate) · up) and down(gelu(up)).

Guarantee: the gradient is that of the formula to rounding, in fp32, fp64 and bf16. Kept for the backward is what came
out of the first product alone: the activation is made again there, next to the products that need it. Price: that
activation once more; no second derivative. Kept per slot, in elements:

    SwiGLU   2·F (gate and up), where autograd keeps 4·F (silu(gate) and the product, too)
    GELU     F (up), where autograd keeps 2·F
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from batchwright.model.config import ModelConfig

_aten = torch.ops.aten


class SwiGLU(nn.Module):
    """down(silu(gate) · up), gate and up in one matrix product (Shazeer 2020, arXiv 2002.05202)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gate_up = nn.Linear(config.width, 2 * config.feed_forward_width, bias=config.bias)
        self.down = nn.Linear(config.feed_forward_width, config.width, bias=config.bias)

    def forward(self, x: Tensor) -> Tensor:
        return _down(self.gate_up(x), self.down, gated=True)


class GELU(nn.Module):
    """down(gelu(up)), in the tanh form of Hendrycks & Gimpel 2016 (arXiv 1606.08415) that GPT-2 was trained with."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.up = nn.Linear(config.width, config.feed_forward_width, bias=config.bias)
        self.down = nn.Linear(config.feed_forward_width, config.width, bias=config.bias)

    def forward(self, x: Tensor) -> Tensor:
        return _down(self.up(x), self.down, gated=False)


def _down(x: Tensor, down: nn.Linear, *, gated: bool) -> Tensor:
    product = _ActivatedProduct.apply(x, down.weight, down.bias, gated)
    assert isinstance(product, Tensor)
    return product


class _ActivatedProduct(torch.autograd.Function):
    """linear(activation(x), weight, bias), keeping `x` and no activation."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, gated: bool) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.biased, ctx.gated = bias is not None, gated
        return F.linear(_activated(x, gated=gated), weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, weight = ctx.saved_tensors
        (gradient,) = gradients
        rows = gradient.reshape(-1, gradient.shape[-1])
        # Under autocast the products are in the activations' precision, what is handed on in the weights'.
        weight_gradient = (rows.T @ _activated(x, gated=ctx.gated).flatten(0, -2)).to(weight.dtype)
        inner = gradient @ weight.to(gradient.dtype)
        bias_gradient = rows.sum(0, dtype=weight.dtype) if ctx.biased else None
        return _activation_gradient(x, inner, gated=ctx.gated), weight_gradient, bias_gradient, None


def _activated(x: Tensor, *, gated: bool) -> Tensor:
    """(B, T, 2·F), gate and up, or (B, T, F) → (B, T, F)."""
    if not gated:
        return F.gelu(x, approximate="tanh")
    gate, up = x.chunk(2, dim=-1)
    return F.silu(gate).mul_(up)


def _activation_gradient(x: Tensor, inner: Tensor, *, gated: bool) -> Tensor:
    """The gradient of `x`, `inner` being that of what came out; uses `inner` up."""
    if not gated:
        return _aten.gelu_backward(inner, x, approximate="tanh")
    (gate, up), found = x.chunk(2, dim=-1), torch.empty_like(x)
    of_gate, of_up = found.chunk(2, dim=-1)
    _aten.silu.out(gate, out=of_up).mul_(inner)
    _aten.silu_backward.grad_input(inner.mul_(up), gate, grad_input=of_gate)
    return found
