"""The attention layer: queries, keys and values of every slot, turned by their positions, attending as `isolation`
says.

Guarantee: with isolation on, a document's outputs are bit for bit the same whatever stands before or after it in the
row. Price: 4·D² weights, with G of H key-value heads 2·(1 + G/H)·D²; what isolation costs stands in `isolation`.
"""

from torch import Tensor, nn

from batchwright.model.config import ModelConfig
from batchwright.model.embedding import rotate
from batchwright.model.isolation import Isolation


class Attention(nn.Module):
    """Multi-head self-attention. Queries, keys and values come out of one matrix product, which a CPU does faster.

    Grouped-query (Ainslie 2023, arXiv 2305.13245): G heads of keys and values, each looked at by H/G heads of queries.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.heads, self.key_value_heads = config.heads, config.key_value_head_count
        self.query_key_value = nn.Linear(config.width, config.attention_width, bias=config.bias)
        self.output = nn.Linear(config.width, config.width, bias=config.bias)

    def forward(self, x: Tensor, rotation: Tensor | None, isolation: Isolation) -> Tensor:
        """(B, T, D) → (B, T, D). Without a rotation, queries and keys stay as they are."""
        rows, length, width = x.shape
        mixed = self.query_key_value(x).view(rows, length, -1, width // self.heads)
        turned, value = mixed.split((self.heads + self.key_value_heads, self.key_value_heads), dim=2)
        if rotation is not None:
            # Values of their own, or they would keep the unturned queries and keys, 2·D per slot, until the backward.
            turned, value = rotate(turned, rotation), value.clone()
        query, key = turned.split((self.heads, self.key_value_heads), dim=2)  # (B, T, H, K), (B, T, G, K)
        return self.output(isolation.attend(query, key, value).reshape(rows, length, width))
