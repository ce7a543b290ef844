"""Activation checkpointing (Chen 2016, arXiv 1604.06174): keep less of the forward, make it again in the backward.

Guarantee: loss and gradient keep every bit, since the same kernels run on the same numbers (a test compares them).
Price, of the 411 MiB of activations that four layers of GPT-2's width have at the peak of a step at (4, 512), by
`measuring.step_trace.trace_step`, and work on top:

    full       153 MiB are left, the layers' inputs         a forward more: a third of the work
    selective  315 MiB are left                             norms, rotation, residuals once more

Selective keeps what comes out of matrix products and attention and recomputes the rest; it needs to know nothing of
what a layer is made of, so it serves any model that names its `blocks`. (Our own feed-forward layer recomputes its
activation without being asked, see `feed_forward`; for a foreign model selective saves that, too.)
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

from batchwright.model.execution import ActivationCheckpointing

_aten = torch.ops.aten
KEPT = frozenset(
    {
        _aten.mm.default,
        _aten.addmm.default,
        _aten.bmm.default,
        _aten.baddbmm.default,
        _aten._scaled_dot_product_flash_attention_for_cpu.default,
        _aten._scaled_dot_product_flash_attention.default,
        _aten._scaled_dot_product_efficient_attention.default,
        _aten._scaled_dot_product_cudnn_attention.default,
        torch.ops.higher_order.flex_attention,
    }
)
"""What costs more to compute than to keep."""


def recompute_blocks(blocks: Iterable[nn.Module], how: ActivationCheckpointing) -> None:
    """Make each of these layers, in place, keep less. Their weights keep their names."""
    if how != "none":
        for block in blocks:
            block.forward = _Recomputed(block.forward, selective=how == "selective")


class _Recomputed:
    """A layer's forward that is run again when its backward comes."""

    def __init__(self, forward: Any, *, selective: bool) -> None:
        self._forward = forward
        self._contexts = {"context_fn": _selective_contexts} if selective else {}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled():
            return self._forward(*args, **kwargs)
        # There is no dropout, and a foreign model's was refused: no state of a generator to put back.
        return checkpoint(
            self._forward, *args, use_reentrant=False, preserve_rng_state=False, **self._contexts, **kwargs
        )


def _selective_contexts() -> Any:
    return create_selective_checkpoint_contexts(_policy)


def _policy(context: Any, operation: Any, *args: Any, **kwargs: Any) -> CheckpointPolicy:
    del context, args, kwargs
    return CheckpointPolicy.MUST_SAVE if operation in KEPT else CheckpointPolicy.PREFER_RECOMPUTE
