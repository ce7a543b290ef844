"""What variable-length attention kernels are called with: a Batch flattened to B·T slots, and where its segments end.

    cu_seqlens   (N + 1,) int32, on the queries' device: 0, the end of the first segment, …, B·T
    max_seqlen   slots of the longest segment; an upper bound serves as well
    tensors      (B·T, H, K), contiguous in the slots, no padding taken out: padding is a segment of its own

A Batch has both already (`batch.segment_ends`, `batch.max_seqlen`); `VarlenArguments.of_lengths` makes them from
lengths. The *whole* of `batch.cu_seqlens` is valid too: the entries after the last segment repeat B·T, segments of 0
slots, and its shape is the same for every batch, so nothing is compiled or captured anew.

The numbers are tested against the mask by a plain implementation of the convention. The kernels themselves need a GPU
and fp16 or bf16: that call is checked for names and shapes, and was not run.
"""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from batchwright.foundation.errors import InputError


@dataclass(frozen=True, kw_only=True, eq=False)
class VarlenArguments:
    """Segments of one flattened batch."""

    cu_seqlens: Tensor
    max_seqlen: int

    def __post_init__(self) -> None:
        if self.cu_seqlens.dtype != torch.int32 or self.cu_seqlens.ndim != 1 or self.max_seqlen < 1:
            raise InputError(
                f"cu_seqlens is {self.cu_seqlens.dtype} of shape {tuple(self.cu_seqlens.shape)}, "
                f"max_seqlen {self.max_seqlen}",
                remedy="one dimension of int32 that begins with 0 and ends with B·T, and the longest segment's slots",
            )

    @classmethod
    def of_lengths(cls, lengths: Sequence[int], device: torch.device | str = "cpu") -> "VarlenArguments":
        """Of segments of these lengths, one after another."""
        ends = torch.tensor(list(accumulate(lengths, initial=0)), dtype=torch.int32, device=device)
        return cls(cu_seqlens=ends, max_seqlen=max(lengths))

    def for_torch(self) -> dict[str, Any]:
        """Keyword arguments of `torch.nn.attention.varlen.varlen_attn` beside query, key and value. "Causal" is a
        window there, and was a flag of its own in torch 2.10."""
        causal = {"is_causal": True} if _has_causal_flag() else {"window_size": (-1, 0)}
        return {
            "cu_seq_q": self.cu_seqlens,
            "cu_seq_k": self.cu_seqlens,
            "max_q": self.max_seqlen,
            "max_k": self.max_seqlen,
            **causal,
        }

    def for_flash_attention(self) -> dict[str, Any]:
        """Keyword arguments of flash-attn's `flash_attn_varlen_func` beside q, k and v."""
        return {
            "cu_seqlens_q": self.cu_seqlens,
            "cu_seqlens_k": self.cu_seqlens,
            "max_seqlen_q": self.max_seqlen,
            "max_seqlen_k": self.max_seqlen,
            "causal": True,
        }


def attend_varlen(query: Tensor, key: Tensor, value: Tensor, arguments: VarlenArguments) -> Tensor:
    """(B, T, H, K), twice (B, T, G, K) → (B, T, H, K) by torch's kernel. Raises InputError where it does not exist."""
    if query.device.type != "cuda" or query.dtype not in (torch.float16, torch.bfloat16):
        raise InputError(
            f"variable-length attention runs on a GPU in fp16 or bf16, not on {query.device.type} in {query.dtype}",
            remedy="form='segments', which computes the same",
        )
    from torch.nn.attention.varlen import varlen_attn

    q, k, v = (x.reshape(-1, *x.shape[2:]) for x in (query, key, value))
    # torch 2.10 has no such flag: asked for only where heads are shared.
    shared: dict[str, Any] = {"enable_gqa": True} if q.shape[1] != k.shape[1] else {}
    attended: Any = varlen_attn(q, k, v, **arguments.for_torch(), **shared)
    return attended.view(query.shape)


@cache
def _has_causal_flag() -> bool:
    from torch.nn.attention.varlen import varlen_attn

    return "is_causal" in inspect.signature(varlen_attn).parameters
