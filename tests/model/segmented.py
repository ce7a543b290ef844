"""Rows cut into segments at random, and the plainest attention over `cu_seqlens` there is."""

import math
from itertools import pairwise

import torch
from hypothesis import strategies as st
from torch import Tensor


def position_ids_of(rows: list[list[int]]) -> Tensor:
    """Segments' lengths of every row → (B, T) position ids."""
    return torch.stack([torch.cat([torch.arange(length) for length in row]) for row in rows]).int()


@st.composite
def segmentations(draw: st.DrawFn, longest: int = 40) -> list[list[int]]:
    """Rows of equal length T, each cut into segments of at least one slot."""
    length = draw(st.integers(1, longest))
    cuts = st.lists(st.integers(1, max(1, length - 1)), max_size=6, unique=True) if length > 1 else st.just([])
    rows = draw(st.lists(cuts, min_size=1, max_size=3))
    ends = [[0, *sorted(row), length] for row in rows]
    return [[b - a for a, b in pairwise(row)] for row in ends]


def parts_of(position_ids: Tensor, seed: int, heads: int = 2, size: int = 4) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values (B, T, H, K) in fp64 that ask for a gradient."""
    draw = torch.Generator().manual_seed(seed)
    shape = (*position_ids.shape, heads, size)
    query, key, value = (torch.randn(shape, dtype=torch.float64, generator=draw).requires_grad_() for _ in range(3))
    return query, key, value


def varlen_reference(query: Tensor, key: Tensor, value: Tensor, cu_seqlens: Tensor, max_seqlen: int) -> Tensor:
    """(B·T, H, K) → (B·T, H, K) as flash_attn_varlen_func(…, causal=True) defines it, softmax written out. Segments of
    no slots are allowed, a segment longer than `max_seqlen` is not: a kernel would leave its end out."""
    assert cu_seqlens.dtype == torch.int32
    ends = cu_seqlens.tolist()
    assert ends[0] == 0
    assert ends[-1] == query.shape[0]
    out = []
    for begin, end in pairwise(ends):
        if end == begin:
            continue
        stop = min(end, begin + max_seqlen)
        q, k, v = (x[begin:stop].transpose(0, 1) for x in (query, key, value))
        scores = q @ k.transpose(1, 2) / math.sqrt(q.shape[-1])
        later = torch.ones(stop - begin, stop - begin, dtype=torch.bool).triu(1)
        attended = torch.softmax(scores.masked_fill(later, -math.inf), -1) @ v
        out.append(attended.transpose(0, 1))
        out.append(query.new_zeros(end - stop, *query.shape[1:]))
    return torch.cat(out)
