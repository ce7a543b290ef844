"""The memory that batches live in: allocated once, written again and again.

Price: 2 × B·T ids, 4 bytes of position id, 4 of cu_seqlens and 1 of mask per slot: 25 bytes per slot with int64 ids, 13
with uint16. `allocate` may hand out any memory (pinned for a device), `(shape, dtype) -> array`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

Allocate = Callable[[tuple[int, ...], np.dtype[Any]], NDArray[Any]]


class SlotArrays(NamedTuple):
    """What the gathering loop writes. `filled[b]` remembers how many slots of row b are targets, and `cu_seqlens` is
    always complete: entries after the last segment repeat B·T (empty segments), `segments[0]` of them count."""

    inputs: NDArray[Any]
    targets: NDArray[Any]
    loss_mask: NDArray[np.bool_]
    position_ids: NDArray[np.int32]
    cu_seqlens: NDArray[np.int32]
    filled: NDArray[np.int64]
    segments: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Buffers:
    """One micro-batch's worth of memory."""

    slots: SlotArrays
    positions: NDArray[np.int64]
    rows: NDArray[np.int64]
    epochs: NDArray[np.int64]


def new_buffers(
    micro_batch_size: int, sequence_length: int, ids_dtype: DTypeLike, allocate: Allocate = np.empty
) -> Buffers:
    """Fresh buffers of shape (B, T)."""
    shape = (micro_batch_size, sequence_length)
    slots = micro_batch_size * sequence_length

    def whole(length: int) -> NDArray[np.int64]:
        return np.full(length, -1, np.int64)

    arrays = SlotArrays(
        inputs=allocate(shape, np.dtype(ids_dtype)),
        targets=allocate(shape, np.dtype(ids_dtype)),
        loss_mask=allocate(shape, np.dtype(np.bool_)),
        position_ids=allocate(shape, np.dtype(np.int32)),
        cu_seqlens=allocate((slots + 1,), np.dtype(np.int32)),
        filled=np.zeros(micro_batch_size, np.int64),
        segments=np.zeros(1, np.int64),
    )
    arrays.loss_mask[...] = False
    arrays.cu_seqlens[...] = slots
    return Buffers(
        slots=arrays, positions=whole(micro_batch_size), rows=whole(micro_batch_size), epochs=whole(micro_batch_size)
    )
