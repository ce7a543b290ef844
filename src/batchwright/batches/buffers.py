"""The memory that batches live in: allocated once, written again and again.

Price: 2 × B·T ids, 4 bytes of position id, 4 of cu_seqlens and 1 of mask per slot: 25 bytes per slot with int64 ids, 13
with uint16. `allocate` may hand out any memory (pinned for a device), `(shape, dtype) -> array`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

Allocate = Callable[[tuple[int, ...], np.dtype[Any]], NDArray[Any]]


class BatchArrays(NamedTuple):
    """One micro-batch's memory, all of it written by the gathering loop. `filled[b]` remembers how many slots of row
    b are targets; `cu_seqlens` is always complete: of its entries `segments[0]` + 1 count, the others repeat B·T.
    `touched` keeps the compiler from leaving out reading ahead."""

    inputs: NDArray[Any]
    targets: NDArray[Any]
    loss_mask: NDArray[np.bool_]
    position_ids: NDArray[np.int32]
    cu_seqlens: NDArray[np.int32]
    positions: NDArray[np.int64]
    streams: NDArray[np.int64]
    rows: NDArray[np.int64]
    epochs: NDArray[np.int64]
    filled: NDArray[np.int64]
    segments: NDArray[np.int64]
    touched: NDArray[np.int64]


def new_arrays(
    micro_batch_size: int, sequence_length: int, ids_dtype: DTypeLike, allocate: Allocate = np.empty
) -> BatchArrays:
    """Fresh memory for a (B, T) micro-batch."""
    shape = (micro_batch_size, sequence_length)
    arrays = BatchArrays(
        inputs=allocate(shape, np.dtype(ids_dtype)),
        targets=allocate(shape, np.dtype(ids_dtype)),
        loss_mask=allocate(shape, np.dtype(np.bool_)),
        position_ids=allocate(shape, np.dtype(np.int32)),
        cu_seqlens=allocate((micro_batch_size * sequence_length + 1,), np.dtype(np.int32)),
        positions=np.full(micro_batch_size, -1, np.int64),
        streams=np.full(micro_batch_size, -1, np.int64),
        rows=np.full(micro_batch_size, -1, np.int64),
        epochs=np.full(micro_batch_size, -1, np.int64),
        filled=np.zeros(micro_batch_size, np.int64),
        segments=np.zeros(1, np.int64),
        touched=np.zeros(1, np.int64),
    )
    arrays.loss_mask[...] = False
    arrays.cu_seqlens[...] = micro_batch_size * sequence_length
    return arrays
