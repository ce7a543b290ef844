"""The model: ids (B, T) and position ids (B, T) in, one score per vocabulary entry (B, T, V) out.

Guarantees: a pure function of its inputs and weights (no dropout, no state); the weights are a pure function of (shape,
seed), each drawn from the stream of its own name, so adding a layer changes no other weight; documents in a row do not
see each other unless `isolate=False`. Price: the logits, 4·B·T·V bytes, are usually the largest single tensor.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from batchwright.foundation.randomness import key
from batchwright.model.attention import Attention
from batchwright.model.config import ModelConfig
from batchwright.model.embedding import RotaryPositions, TokenEmbedding, matrix_deviation
from batchwright.model.isolation import Isolation, WholeRow, isolation_of


class FeedForward(nn.Module):
    """SwiGLU (Shazeer 2020, arXiv 2002.05202): down(silu(gate) · up), gate and up in one matrix product."""

    def __init__(self, width: int, feed_forward_width: int) -> None:
        super().__init__()
        self.gate_up = nn.Linear(width, 2 * feed_forward_width, bias=False)
        self.down = nn.Linear(feed_forward_width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        return self.down(F.silu(gate) * up)


class Block(nn.Module):
    """x + attention(norm(x)), then x + feed_forward(norm(x)): pre-norm, so the residual path itself is never scaled."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(config.width, eps=config.norm_epsilon)
        self.attention = Attention(config.width, config.heads)
        self.feed_forward_norm = nn.RMSNorm(config.width, eps=config.norm_epsilon)
        self.feed_forward = FeedForward(config.width, config.feed_forward_width)

    def forward(self, x: Tensor, rotation: Tensor, isolation: Isolation) -> Tensor:
        x = x + self.attention(self.attention_norm(x), rotation, isolation)
        return x + self.feed_forward(self.feed_forward_norm(x))


class Transformer(nn.Module):
    """A decoder-only language model of the given shape, its weights named by `seed`."""

    def __init__(self, config: ModelConfig, *, seed: int, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.config = config
        self.embedding = TokenEmbedding(config.vocabulary_size, config.width)
        self.rotary = RotaryPositions(config.head_size, config.rotary_base)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.final_norm = nn.RMSNorm(config.width, eps=config.norm_epsilon)
        self.to(dtype)
        _initialise(self, seed)

    @property
    def output_weight(self) -> nn.Parameter:
        """(V, D): what turns hidden vectors into scores; the embedding itself."""
        return self.embedding.weight

    def forward(
        self, ids: Tensor, position_ids: Tensor, *, isolate: bool = True, lengths: Sequence[int] | None = None
    ) -> Tensor:
        """(B, T) int64 ids and position ids → (B, T, V) logits. `lengths`: see `isolation_of`."""
        return self.embedding.scores(self.hidden(ids, position_ids, isolate=isolate, lengths=lengths))

    def hidden(
        self, ids: Tensor, position_ids: Tensor, *, isolate: bool = True, lengths: Sequence[int] | None = None
    ) -> Tensor:
        """(B, T) → (B, T, D): everything before the output, for a loss that never holds all logits at once."""
        x = self.embedding(ids)
        rotation = self.rotary(position_ids, x.dtype)
        isolation = isolation_of(position_ids, x.dtype, lengths=lengths) if isolate else WholeRow()
        for block in self.blocks:
            x = block(x, rotation, isolation)
        return self.final_norm(x)


@torch.no_grad()
def _initialise(model: Transformer, seed: int) -> None:
    """Norms at 1, matrices normal with √(2/(5·D)); what writes into the residual path a further 1/√(2·L) smaller,
    so that its variance does not grow with depth (GPT-2, Radford 2019, §2.3)."""
    deviation = matrix_deviation(model.config.width)
    residual = deviation / math.sqrt(2 * model.config.layers)
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1:
            parameter.fill_(1.0)
            continue
        stream = torch.Generator().manual_seed(key(seed, "weights", name))
        # Drawn in fp32 and then cast: the same weights, rounded, in every precision.
        drawn = torch.empty(parameter.shape, dtype=torch.float32)
        drawn.normal_(
            0.0, residual if name.endswith((".output.weight", ".down.weight")) else deviation, generator=stream
        )
        parameter.copy_(drawn)
