"""The feed-forward layer keeps less than autograd would and gives its gradient."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from batchwright.model.config import Activation, ModelConfig
from batchwright.model.feed_forward import GELU, SwiGLU

SHAPE = ModelConfig(vocabulary_size=9, sequence_length=8, width=6, layers=1, heads=1, feed_forward_width=10)


def layer_of(activation: Activation, *, bias: bool) -> SwiGLU | GELU:
    torch.manual_seed(0)
    config = replace(SHAPE, activation=activation, bias=bias)
    return (SwiGLU if activation == "swiglu" else GELU)(config).double()


def plainly(layer: SwiGLU | GELU, x: Tensor) -> Tensor:
    """As the formula is written, with everything kept."""
    if isinstance(layer, GELU):
        return layer.down(F.gelu(layer.up(x), approximate="tanh"))
    gate, up = layer.gate_up(x).chunk(2, dim=-1)
    return layer.down(F.silu(gate) * up)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("activation", ["swiglu", "gelu"])
def test_its_gradient_is_that_of_the_formula(activation: Activation, bias: bool) -> None:
    layer, x = layer_of(activation, bias=bias), torch.randn(2, 8, 6, dtype=torch.float64, requires_grad=True)
    asked = (x, *layer.parameters())
    ours, theirs = layer(x), plainly(layer, x)
    weights = torch.randn_like(ours)
    torch.testing.assert_close(ours, theirs, rtol=1e-13, atol=1e-13)
    for a, b in zip(
        torch.autograd.grad(ours, asked, weights), torch.autograd.grad(theirs, asked, weights), strict=True
    ):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("activation", "kept_of_ours", "kept_by_autograd"), [("swiglu", 20, 40), ("gelu", 10, 20)])
def test_it_keeps_half_of_what_autograd_would(activation: Activation, kept_of_ours: int, kept_by_autograd: int) -> None:
    layer, x, slots = layer_of(activation, bias=False), torch.randn(2, 8, 6, dtype=torch.float64), 16
    for forward, elements in ((layer, kept_of_ours), (lambda x: plainly(layer, x), kept_by_autograd)):
        kept: dict[int, int] = {}

        def keep(tensor: Tensor, kept: dict[int, int] = kept) -> Tensor:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            made = forward(x)
        weights = {p.untyped_storage().data_ptr() for p in layer.parameters()}
        held = sum(size for place, size in kept.items() if place not in weights)
        assert held == 8 * slots * (elements + 6), "and the layer's own input"
        del made
