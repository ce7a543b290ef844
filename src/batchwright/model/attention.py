"""The attention layer: queries, keys and values of every slot, turned by their positions, attending as `isolation`
says.

Guarantee: with isolation on, a document's outputs are bit for bit the same whatever stands before or after it in the
row. Price: 4·D² weights; what isolation costs stands in `isolation`.
"""

from torch import Tensor, nn

from batchwright.model.embedding import rotate
from batchwright.model.isolation import Isolation


class Attention(nn.Module):
    """Multi-head self-attention. Queries, keys and values come out of one matrix product, which a CPU does faster."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query_key_value = nn.Linear(width, 3 * width, bias=False)
        self.output = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, rotation: Tensor, isolation: Isolation) -> Tensor:
        """(B, T, D) → (B, T, D)."""
        rows, length, width = x.shape
        mixed = self.query_key_value(x).view(rows, length, 3, self.heads, width // self.heads)
        turned, value = mixed.split((2, 1), dim=2)
        query, key = rotate(turned, rotation).unbind(2)  # each (B, T, H, K)
        return self.output(isolation.attend(query, key, value[:, :, 0]).reshape(rows, length, width))
