"""FlexAttention's BlockMask for documents in rows, computed from the position ids without ever holding T × T.

A query may look at the keys from its segment's first slot up to itself. Segments are runs of slots, so the key blocks
that a block of 128 queries needs are a run as well: from the block where the *first* query's segment begins up to
the diagonal. Those that begin at or after the *last* query's segment are needed whole and skip the mask function:

    segments  a a a a a a|b b b …       key block  0 1 2 3
    query block 2 (all a)               ■ ■ ◪      ■ whole, ◪ through the mask function
    query block 3 (a, then b)           ◪ ◪ ◪ ◪

Guarantee: the blocks are those of `torch.nn.attention.flex_attention.create_block_mask` (a test compares them). Price:
8·(T/128)² bytes a row, 8 MB at T = 131,072, where `create_block_mask` would fill 17 GB of booleans unless it is
compiled. On a CPU torch has no backward for it, and without torch.compile the scores are held whole. This code was not
run on a GPU; there, `torch.compile` is what makes it fast, and it compiles at the first call.
"""

import warnings
from functools import cache
from typing import Any

import torch
from torch import Tensor

from batchwright.foundation.errors import InputError

BLOCK = 128


def segment_starts(position_ids: Tensor) -> Tensor:
    """(B, T) → (B, T) int64: the slot where each slot's segment begins in its row."""
    slots = torch.arange(position_ids.shape[1], device=position_ids.device).expand(position_ids.shape)
    return torch.where(position_ids == 0, slots, 0).cummax(1).values


def document_block_mask(position_ids: Tensor) -> Any:
    """(B, T) position ids → BlockMask of (B, 1, T, T), for `flex_attention(query, key, value, block_mask=…)`."""
    from torch.nn.attention.flex_attention import BlockMask

    starts = segment_starts(position_ids)
    length = position_ids.shape[1]
    count = -(-length // BLOCK)
    blocks = torch.arange(count, device=position_ids.device)
    first_query, last_query = blocks * BLOCK, (blocks * BLOCK + BLOCK - 1).clamp(max=length - 1)
    begin = starts[:, first_query] // BLOCK
    whole = (starts[:, last_query] + BLOCK - 1) // BLOCK
    if length % BLOCK:
        whole[:, -1] = count  # the last queries' block is not full itself, so it is masked throughout
    whole = torch.minimum(whole, blocks).maximum(begin)  # the diagonal is always masked
    partial_count = (whole - begin) + 1
    places = blocks.expand(*begin.shape, count)
    # Listed in rising order: the run before the whole ones, then the diagonal; what lies behind the count is ignored.
    partial = torch.where(places < (whole - begin)[..., None], begin[..., None] + places, blocks[:, None])
    full = (whole[..., None] + places).clamp(max=count - 1)

    def same_document(b: Tensor, h: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (starts[b, query] <= key) & (key <= query)

    return BlockMask.from_kv_blocks(
        partial_count[:, None].int(),
        partial[:, None].int(),
        (blocks - whole)[:, None].int(),
        full[:, None].int(),
        BLOCK_SIZE=BLOCK,
        mask_mod=same_document,
        seq_lengths=(length, length),
    )


def attend_blocks(query: Tensor, key: Tensor, value: Tensor, block_mask: Any) -> Tensor:
    """(B, T, H, K), twice (B, T, G, K) → (B, T, H, K) by FlexAttention; compiled on a GPU, on a CPU as it is and
    forward only."""
    shared = query.shape[2] != key.shape[2]
    q, k, v = (x.transpose(1, 2) for x in (query, key, value))
    if query.device.type != "cpu":
        return _compiled()(q, k, v, block_mask=block_mask, enable_gqa=shared).transpose(1, 2)
    if torch.is_grad_enabled() and any(x.requires_grad for x in (q, k, v)):
        raise InputError(
            "FlexAttention has no backward on a CPU",
            remedy="form='segments', which computes the same, or torch.no_grad() for the forward alone",
        )
    from torch.nn.attention.flex_attention import flex_attention

    with warnings.catch_warnings():
        # It warns that nothing is compiled: on a CPU that is what we want, it is there to be compared with.
        warnings.filterwarnings("ignore", message="flex_attention called without torch.compile")
        attended: Any = flex_attention(q, k, v, block_mask=block_mask, enable_gqa=shared)
        return attended.transpose(1, 2)


@cache
def _compiled() -> Any:
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention)
