"""The loss as a sum and a count, never as a mean: means of parts do not average to the mean of the whole.

Guarantee: over any cut of a batch, the sums add up to the batch's sum and the counts to its count; padding and filler
(`loss_mask` False) weigh exactly nothing, in the loss and in the gradient. Price: the backward of the plain
cross-entropy holds the log-probabilities and their gradient beside the logits, 12·V bytes per slot at the peak in
fp32.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

IGNORED = -100  # the target id that torch's cross-entropy passes over


def masked_cross_entropy(logits: Tensor, targets: Tensor, loss_mask: Tensor) -> tuple[Tensor, int]:
    """(B, T, V) logits, (B, T) int64 targets, (B, T) bool → (sum of −log p in nats, number of targets counted).

    No target at all gives (0, 0), with a gradient of zeros.
    """
    counted = torch.where(loss_mask, targets, IGNORED)
    total = F.cross_entropy(
        logits.flatten(0, 1).float() if logits.dtype == torch.bfloat16 else logits.flatten(0, 1),
        counted.flatten(),
        ignore_index=IGNORED,
        reduction="sum",
    )
    return total, int(loss_mask.sum())
