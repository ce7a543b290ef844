"""The two families written the plain way, in nanoGPT's manner: one file, `nn.Linear`, one call of
scaled_dot_product_attention, the loss from `F.cross_entropy` over all logits at once.

(B, T) ids and targets → (logits, mean loss). Rotary positions turn the two halves of a head by cosines and sines that
are made once, as most code of today does.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.training.shapes import Family, Shape


class Attention(nn.Module):
    """Causal attention over the row."""

    def __init__(self, shape: Shape, bias: bool) -> None:
        super().__init__()
        self.heads = shape.heads
        self.query_key_value = nn.Linear(shape.width, 3 * shape.width, bias=bias)
        self.output = nn.Linear(shape.width, shape.width, bias=bias)

    def forward(self, x: Tensor, turn: tuple[Tensor, Tensor] | None) -> Tensor:
        B, T, D = x.shape
        q, k, v = (
            part.view(B, T, self.heads, D // self.heads).transpose(1, 2)
            for part in self.query_key_value(x).split(D, dim=2)
        )
        if turn is not None:
            q, k = rotate_halves(q, *turn), rotate_halves(k, *turn)
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.output(attended.transpose(1, 2).contiguous().view(B, T, D))


def rotate_halves(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """(B, H, T, K) turned: number k and number k + K/2 are a pair."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cosine - second * sine, second * cosine + first * sine), dim=-1)


class SwiGLU(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gate = nn.Linear(shape.width, shape.feed_forward_width, bias=False)
        self.up = nn.Linear(shape.width, shape.feed_forward_width, bias=False)
        self.down = nn.Linear(shape.feed_forward_width, shape.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.silu(self.gate(x)) * self.up(x))


class Block(nn.Module):
    """Pre-norm, as both families have it."""

    def __init__(self, shape: Shape, family: Family) -> None:
        super().__init__()
        classic, D = family == "classic", shape.width
        self.norm_1, self.norm_2 = (nn.LayerNorm(D) if classic else nn.RMSNorm(D, eps=1e-5) for _ in range(2))
        self.attention = Attention(shape, bias=classic)
        gelu = nn.Sequential(nn.Linear(D, 4 * D), nn.GELU(approximate="tanh"), nn.Linear(4 * D, D))
        self.feed_forward = gelu if classic else SwiGLU(shape)

    def forward(self, x: Tensor, turn: tuple[Tensor, Tensor] | None) -> Tensor:
        x = x + self.attention(self.norm_1(x), turn)
        return x + self.feed_forward(self.norm_2(x))


class PlainModel(nn.Module):
    """A decoder-only language model of either family."""

    cosine: Tensor
    sine: Tensor

    def __init__(self, shape: Shape, family: Family, sequence_length: int) -> None:
        super().__init__()
        D = shape.width
        self.tokens = nn.Embedding(shape.vocabulary_size, D)
        self.positions = nn.Embedding(sequence_length, D) if family == "classic" else None
        self.blocks = nn.ModuleList(Block(shape, family) for _ in range(shape.layers))
        self.norm = nn.LayerNorm(D) if family == "classic" else nn.RMSNorm(D, eps=1e-5)
        self.scores = nn.Linear(D, shape.vocabulary_size, bias=False)
        self.tokens.weight = self.scores.weight
        half = D // shape.heads // 2
        angles = torch.arange(sequence_length)[:, None] * 10_000.0 ** (-torch.arange(half) / half)
        self.register_buffer("cosine", angles.cos(), persistent=False)
        self.register_buffer("sine", angles.sin(), persistent=False)
        self.apply(_initialise)
        for name, parameter in self.named_parameters():
            if name.endswith(("output.weight", "down.weight", "2.weight")):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * shape.layers))

    def forward(self, ids: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        x, T = self.tokens(ids), ids.shape[1]
        if self.positions is not None:
            x = x + self.positions(torch.arange(T))
        turn = (self.cosine[:T], self.sine[:T]) if self.positions is None else None
        for block in self.blocks:
            x = block(x, turn)
        logits = self.scores(self.norm(x))
        return logits, F.cross_entropy(logits.view(-1, logits.shape[-1]), targets.view(-1), ignore_index=-1)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
