"""Causal attention inside each segment of a row, in four forms that compute the same numbers. Only position ids are
needed: a segment begins where they are 0, and with every row.

    form       made once per micro-batch          runs on             price
    mask       additive (B, 1, T, T)              CPU, GPU            T² products however short the documents
    segments   one causal kernel call each        CPU, GPU            Σ L² products; ~40 µs per segment and layer
    blocks     FlexAttention's BlockMask          CPU: forward only   8·(T/128)² bytes a row; wants torch.compile
    varlen     cu_seqlens, one kernel for all     GPU, fp16 or bf16   Σ L² products, nothing else

`isolation_of` takes `mask` (4·B·T² bytes in fp32) up to T = `MASKED_LENGTH_LIMIT` and `segments` above it, whatever the
device: on a CPU that is where the second becomes cheaper (docs/lab-notes.md), and one row's mask at T = 131,072 would
weigh 69 GB (17 GB as booleans). The other two are never taken without being asked for: this code was not run on a GPU,
where they belong.

Guarantee, in every form: what stands beside a document in the row never changes its outputs by one bit. Between the
forms outputs and gradients agree to rounding.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from batchwright.foundation.errors import InputError
from batchwright.model.block_mask import attend_blocks, document_block_mask
from batchwright.model.config import MASKED_LENGTH_LIMIT
from batchwright.model.varlen import VarlenArguments, attend_varlen

Form = Literal["mask", "segments", "blocks", "varlen"]


class Isolation(Protocol):
    """Who may look at whom in a (B, T) batch, made once and shared by all layers."""

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Queries (B, T, H, K), keys and values (B, T, G, K), each shared by H/G heads → (B, T, H, K)."""
        ...


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    position_ids: Tensor,
    *,
    form: Form | None = None,
    lengths: Sequence[int] | None = None,
) -> Tensor:
    """Attention of a batch's documents, each by itself: (B, T, H, K) → (B, T, H, K). For one layer; a model of several
    makes `isolation_of` once."""
    return isolation_of(position_ids, query.dtype, form=form, lengths=lengths).attend(query, key, value)


def isolation_of(
    position_ids: Tensor, dtype: torch.dtype, *, form: Form | None = None, lengths: Sequence[int] | None = None
) -> Isolation:
    """The isolation of (B, T) position ids, in the form that suits T, or in the one asked for.

    `lengths` are the slots of every segment in the flattened B·T, for whoever knows them (`segment_lengths`); without
    them they are read from `position_ids`, which on a GPU waits for it once.
    """
    chosen = form or ("mask" if position_ids.shape[1] <= MASKED_LENGTH_LIMIT else "segments")
    if chosen == "mask":
        return Masked(mask=isolation_mask(position_ids, dtype))
    if chosen == "blocks":
        return Blocks(block_mask=document_block_mask(position_ids))
    known = segment_lengths(position_ids.numpy(force=True)) if lengths is None else lengths
    if chosen == "segments":
        return Segments(lengths=tuple(known))
    if chosen == "varlen":
        return Varlen(arguments=VarlenArguments.of_lengths(known, position_ids.device))
    raise InputError(f"there is no form of attention {form!r}", remedy="mask, segments, blocks or varlen")


def segment_lengths(position_ids: npt.NDArray[Any]) -> list[int]:
    """(B, T) position ids → slots of every segment, padding's too, in the order of the flattened B·T slots. They are
    the differences of a Batch's cu_seqlens."""
    begins = position_ids == 0
    begins[:, 0] = True
    return np.diff(np.flatnonzero(begins), append=begins.size).tolist()


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


def _attend_rows(
    query: Tensor, key: Tensor, value: Tensor, *, mask: Tensor | None = None, is_causal: bool = False
) -> Tensor:
    """torch's kernel wants the heads before the slots."""
    q, k, v = query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)
    return _attend(q, k, v, mask=mask, is_causal=is_causal).transpose(1, 2)


def _attend(
    query: Tensor, key: Tensor, value: Tensor, *, mask: Tensor | None = None, is_causal: bool = False
) -> Tensor:
    """(B, H, T, K) and twice (B, G, T, K): the kernels repeat shared heads without copying them."""
    return F.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, is_causal=is_causal, enable_gqa=query.shape[1] != key.shape[1]
    )


@dataclass(frozen=True, eq=False)
class WholeRow:
    """No isolation: plain causal attention over the row, neighbours seen. The kernel skips half the square."""

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return _attend_rows(query, key, value, is_causal=True)


@dataclass(frozen=True, kw_only=True, eq=False)
class Masked:
    """Form "mask": (B, 1, T, T), additive."""

    mask: Tensor

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return _attend_rows(query, key, value, mask=self.mask)


@dataclass(frozen=True, kw_only=True, eq=False)
class Segments:
    """Form "segments": the flattened B·T slots, split at the segments' ends, a causal call for each."""

    lengths: tuple[int, ...]

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        rows, length, heads, size = query.shape
        check_lengths(self.lengths, rows * length)
        # One split and not a slice per segment: the backward of a slice fills a tensor as large as the whole batch.
        parts = [
            x.reshape(1, rows * length, -1, size).transpose(1, 2).split(self.lengths, 2) for x in (query, key, value)
        ]
        attended = [_attend(*part, is_causal=True).transpose(1, 2) for part in zip(*parts, strict=True)]
        return torch.cat(attended, 1).view(rows, length, heads, size)


@dataclass(frozen=True, kw_only=True, eq=False)
class Blocks:
    """Form "blocks": FlexAttention."""

    block_mask: Any

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return attend_blocks(query, key, value, self.block_mask)


@dataclass(frozen=True, kw_only=True, eq=False)
class Varlen:
    """Form "varlen": torch's variable-length FlashAttention."""

    arguments: VarlenArguments

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return attend_varlen(query, key, value, self.arguments)


def check_lengths(lengths: Sequence[int], slots: int) -> None:
    """Raises InputError when these segments do not fill the batch."""
    if sum(lengths) != slots or min(lengths) < 1:
        raise InputError(
            f"{len(lengths):,} segments of {sum(lengths):,} slots together (the shortest {min(lengths)}) "
            f"do not fill a batch of {slots:,}",
            remedy="take the differences of the batch's segment_ends, or segment_lengths(batch.position_ids)",
        )
