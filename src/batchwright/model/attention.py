"""Causal attention inside each document of a row: a neighbour in the row is never seen.

Guarantee: with isolation on, a document's outputs are bit for bit the same whatever stands before or after it in the
row. The mask is made once per micro-batch, of the position ids alone (a segment begins where they are 0), and shared by
all layers.

Price: the mask holds 4·B·T² bytes in fp32 (0.5 MiB at B = 8, T = 128; 32 MiB at B = 8, T = 1,024), whatever the
number of layers. With isolation off the kernel is told "causal" and skips half the square; measured on one core with
the tiny shape (T = 128), isolation costs 0–6 % of the tokens per second. It grows with T.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from batchwright.model.embedding import rotate


def isolation_mask(position_ids: Tensor, dtype: torch.dtype) -> Tensor:
    """(B, T) position ids → (B, 1, T, T) additive mask: 0 where a query may look, −∞ elsewhere.

    Two documents of 3 and 2 tokens in a row of 5 (· = −∞):

        query ↓ key →   a a a b b
        position 0   a  0 · · · ·
                 1   a  0 0 · · ·
                 2   a  0 0 0 · ·
        position 0   b  · · · 0 ·
                 1   b  · · · 0 0

    Additive, because the kernel would otherwise convert the boolean one again in every layer. Every query sees
    itself, so no row is empty.
    """
    segments = (position_ids == 0).cumsum(dim=1)
    length = position_ids.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=position_ids.device).tril()
    allowed = (segments[:, :, None] == segments[:, None, :]) & causal
    mask = torch.zeros(allowed.shape, dtype=dtype, device=position_ids.device)
    return mask.masked_fill_(~allowed, float("-inf"))[:, None]


class Attention(nn.Module):
    """Multi-head self-attention. Queries, keys and values come out of one matrix product, which a CPU does faster."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query_key_value = nn.Linear(width, 3 * width, bias=False)
        self.output = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, rotation: Tensor, mask: Tensor | None) -> Tensor:
        """(B, T, D) → (B, T, D). `mask` (B, 1, T, T), or None for plain causal attention over the whole row."""
        rows, length, width = x.shape
        mixed = self.query_key_value(x).view(rows, length, 3, self.heads, width // self.heads)
        turned, value = mixed.split((2, 1), dim=2)
        query, key = rotate(turned, rotation).unbind(2)  # each (B, T, H, K)
        attended = F.scaled_dot_product_attention(
            query.transpose(1, 2),
            key.transpose(1, 2),
            value[:, :, 0].transpose(1, 2),
            attn_mask=mask,
            is_causal=mask is None,
        )
        return self.output(attended.transpose(1, 2).reshape(rows, length, width))
