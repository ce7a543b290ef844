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
from batchwright.model.embedding import LearnedPositions, RotaryPositions, TokenEmbedding, matrix_deviation
from batchwright.model.feed_forward import GELU, SwiGLU
from batchwright.model.isolation import Isolation, WholeRow, isolation_of
from batchwright.model.precision import activation_dtype


class Block(nn.Module):
    """x + attention(norm(x)), then x + feed_forward(norm(x)): pre-norm, so the residual path itself is never scaled."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.attention_norm = _norm(config)
        self.attention = Attention(config)
        self.feed_forward_norm = _norm(config)
        self.feed_forward = SwiGLU(config) if config.activation == "swiglu" else GELU(config)

    def forward(self, x: Tensor, rotation: Tensor | None, isolation: Isolation) -> Tensor:
        x = x + self.attention(self.attention_norm(x), rotation, isolation)
        return x + self.feed_forward(self.feed_forward_norm(x))


def _norm(config: ModelConfig) -> nn.Module:
    if config.norm == "layer":
        return nn.LayerNorm(config.width, eps=config.norm_epsilon, bias=config.bias)
    return nn.RMSNorm(config.width, eps=config.norm_epsilon)


class Transformer(nn.Module):
    """A decoder-only language model of the given shape, its weights named by `seed`."""

    def __init__(self, config: ModelConfig, *, seed: int, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.config = config
        self.embedding = TokenEmbedding(config.vocabulary_size, config.width)
        learned = config.positions == "learned"
        self.positions = LearnedPositions(config.sequence_length, config.width) if learned else None
        self.rotary = None if learned else RotaryPositions(config.head_size, config.rotary_base)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.final_norm = _norm(config)
        self.output = None if config.tied else nn.Linear(config.width, config.vocabulary_size, bias=False)
        self.to(dtype)
        _initialise(self, seed)

    @property
    def output_weight(self) -> Tensor:
        """(V, D): what turns hidden vectors into scores; the embedding itself unless the model is untied."""
        return self.embedding.weight if self.output is None else self.output.weight

    def forward(
        self, ids: Tensor, position_ids: Tensor, *, isolate: bool = True, lengths: Sequence[int] | None = None
    ) -> Tensor:
        """(B, T) int64 ids and position ids → (B, T, V) logits. `lengths`: see `isolation_of`."""
        return F.linear(self.hidden(ids, position_ids, isolate=isolate, lengths=lengths), self.output_weight)

    def hidden(
        self, ids: Tensor, position_ids: Tensor, *, isolate: bool = True, lengths: Sequence[int] | None = None
    ) -> Tensor:
        """(B, T) → (B, T, D): everything before the output, for a loss that never holds all logits at once."""
        x = self.embedding(ids)
        if self.positions is not None:
            x = x + self.positions(position_ids)
        rotation = None if self.rotary is None else self.rotary(position_ids, x.dtype)
        isolation = isolation_of(position_ids, activation_dtype(x), lengths=lengths) if isolate else WholeRow()
        for block in self.blocks:
            x = block(x, rotation, isolation)
        return self.final_norm(x)


@torch.no_grad()
def _initialise(model: Transformer, seed: int) -> None:
    """Norms at 1, biases at 0, matrices normal with √(2/(5·D)); what writes into the residual path a further 1/√(2·L)
    smaller, so that its variance does not grow with depth (GPT-2, Radford 2019, §2.3)."""
    deviation = matrix_deviation(model.config.width)
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1:
            parameter.fill_(0.0 if name.endswith(".bias") else 1.0)
            continue
        stream = torch.Generator().manual_seed(key(seed, "weights", name))
        # Drawn in fp32 and then cast: the same weights, rounded, in every precision.
        drawn = torch.empty(parameter.shape, dtype=torch.float32)
        drawn.normal_(0.0, deviation / _narrower(name, model.config.layers), generator=stream)
        parameter.copy_(drawn)


def _narrower(name: str, layers: int) -> float:
    """By what a matrix's deviation is smaller than that of most. Positions: twice, as GPT-2's released code has 0.01
    beside 0.02."""
    if name.endswith((".attention.output.weight", ".down.weight")):
        return math.sqrt(2 * layers)
    return 2.0 if name == "positions.weight" else 1.0
