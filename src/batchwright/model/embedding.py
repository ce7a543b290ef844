"""(B, T) → (B, T, D): where a batch of whole numbers becomes a batch of vectors.

A token id is a name, not a quantity: id 42 is not "between" 41 and 43. So the model keeps one trained row of D numbers
per vocabulary entry, a table of (V, D), and looks every id up:

    ids (B, T) int64          table (V, D) float32                 vectors (B, T, D) float32
    [[ 7, 2 ],                0 │ 0.1 −0.3 … │ D numbers           [[ row 7, row 2 ],
     [ 2, 9 ]]                1 │ …          │                      [ row 2, row 9 ]]
                              …

The batch grows from 8·B·T bytes to 4·B·T·D, and this is the shape every layer keeps to the end. The same table,
transposed, turns the last layer's vectors back into one score per vocabulary entry: (B, T, D) · (D, V) → (B, T, V).
Tied like this (Press & Wolf 2017, arXiv 1608.05859) it saves V·D weights, which are most of a small model; a large one
may have a second table for it (`tied = false`), which is then `Transformer.output`.

Where a token stands is told in one of two ways: `RotaryPositions` turn queries and keys inside attention, or
`LearnedPositions` add a vector per position to what was looked up here. Both follow `position_ids`, which restart with
every document, never the slot.

Price: the lookup itself costs no multiplication; its backward adds each slot's gradient to its id's row.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from batchwright.foundation.errors import InputError


class TokenEmbedding(nn.Module):
    """The (V, D) table, used at both ends of a tied model."""

    def __init__(self, vocabulary_size: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(vocabulary_size, width))

    def forward(self, ids: Tensor) -> Tensor:
        """(B, T) int64 → (B, T, D)."""
        return F.embedding(ids, self.weight)


class LearnedPositions(nn.Module):
    """One trained vector per position, as in GPT-2 (Radford 2019): a table of (T, D), and no position beyond it."""

    def __init__(self, sequence_length: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(sequence_length, width))

    def forward(self, position_ids: Tensor) -> Tensor:
        """(B, T) → (B, T, D). Raises InputError for rows longer than the table."""
        length, longest = position_ids.shape[1], len(self.weight)
        if length > longest:
            raise InputError(
                f"a row has {length:,} slots, and the model has learned {longest:,} positions",
                remedy=f"rows of at most {longest:,} tokens, a model whose sequence_length is {length:,}, "
                'or positions = "rotary", which know no end',
            )
        return F.embedding(position_ids, self.weight)


class RotaryPositions(nn.Module):
    """Position as rotation (RoFormer, arXiv 2104.09864): pair k of a head's numbers turns by position · base^(−2k/K).

    Queries and keys are turned alike, so their product depends on the distance alone. Positions restart with each
    segment, hence the angles follow `position_ids`, not the slot; they are computed once and shared by all layers:
    B·T·K/2 complex numbers, 1/(2·H) of one layer's activations.
    """

    frequencies: Tensor

    def __init__(self, head_size: int, base: float) -> None:
        super().__init__()
        exponents = torch.arange(0, head_size, 2, dtype=torch.float64) / head_size
        self.register_buffer("frequencies", base**-exponents, persistent=False)

    def forward(self, position_ids: Tensor, dtype: torch.dtype) -> Tensor:
        """(B, T) → (B, T, 1, K/2) complex unit numbers, of the model's own precision."""
        angles = position_ids[..., None].to(torch.float64) * self.frequencies.to(torch.float64)
        rotation = torch.polar(torch.ones_like(angles), angles)
        return rotation.to(torch.complex128 if dtype == torch.float64 else torch.complex64)[:, :, None, :]


def rotate(heads: Tensor, rotation: Tensor) -> Tensor:
    """Turn (B, T, H, K) by (B, T, 1, K/2): neighbouring numbers are the parts of one complex number.

    One complex product is 2–3 times faster on a CPU than the four real ones. There is none in bf16: turned in fp32
    (angles in bf16 would be off by a position from 256 on) and rounded after.
    """
    exact = heads.float() if heads.dtype == torch.bfloat16 else heads
    pairs = torch.view_as_complex(exact.reshape(*heads.shape[:-1], -1, 2))
    return torch.view_as_real(pairs * rotation).flatten(-2).to(heads.dtype)


def matrix_deviation(width: int) -> float:
    """Standard deviation of a fresh weight matrix: √(2/(5·D)) ("SmallInit", Nguyen & Salazar 2019, arXiv 1910.05895).

    At D = 768 that is 0.023, GPT-2's 0.02 in a form that also fits a small width: the tiny shape after 0.4 M tokens
    of Python's sources had a held-out loss of 4.69 with it and 5.60 with 0.02 (one seed). Price: the first loss lies
    0.2 above ln V.
    """
    return math.sqrt(2 / (5 * width))
