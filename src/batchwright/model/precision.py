"""Passes in bf16: matrix products and attention in half the bytes, everything that adds up many numbers in fp32.

Guarantee: weights, their gradients, the optimizer and the loss stay fp32; what torch's autocast lists as a product
(Micikevicius 2018, arXiv 1710.03740; bf16 needs no loss scaling, Kalamkar 2019, arXiv 1905.12322) is computed in bf16,
and the hidden vectors are handed to the loss in bf16, so that the largest product of all, by the (V, D) output, is one
too. Documents stay isolated bit for bit. Price: each product casts its weights once per micro-batch, 2·P bytes; on a
CPU without bf16 instructions it is slower than fp32, so measure (`batchwright measure throughput`). Not run on a GPU.
"""

from typing import Any

import torch
from torch import Tensor, nn

from batchwright.model.execution import Precision


def compute_in(model: nn.Module, precision: Precision) -> None:
    """Make the model's two entries, `forward` and (if it has it) `hidden`, compute so. In place."""
    if precision == "fp32":
        return
    for name in ("forward", "hidden"):
        if hasattr(model, name):
            setattr(model, name, _Autocast(getattr(model, name)))


def activation_dtype(x: Tensor) -> torch.dtype:
    """In which dtype the products of a layer with input `x` come out."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


class _Autocast:
    """A method of a model under autocast to bf16, its result too."""

    def __init__(self, method: Any) -> None:
        self._method = method

    def __call__(self, ids: Tensor, position_ids: Tensor, **given: Any) -> Tensor:
        with torch.autocast(ids.device.type, dtype=torch.bfloat16):
            return self._method(ids, position_ids, **given).to(torch.bfloat16)
