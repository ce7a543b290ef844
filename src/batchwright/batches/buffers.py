"""The memory that batches live in: allocated once, written again and again.

Price: 2 × B·T ids, 4 bytes of position id, 4 of cu_seqlens and 1 of mask per slot: 25 bytes per slot with int64 ids, 13
with uint16. `allocate` may hand out any memory (pinned for a device), `(shape, dtype) -> array`.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from batchwright.batches.paired_copy import LINE_BYTES
from batchwright.foundation.units import MiB

# From this size on, a micro-batch's ids are written past the cache, which could not keep them until they are used.
_CACHE_BYTES = 4 * MiB

Allocate = Callable[[tuple[int, ...], np.dtype[Any]], NDArray[Any]]


class BatchArrays(NamedTuple):
    """One micro-batch's memory, all of it written by the gathering loop, which remembers what lies there and leaves
    alone what stays the same: `filled[b]` slots of row b hold tokens, its first `leading[b]` position ids are 0, 1, 2 …
    and of `cu_seqlens`, always complete, `segments[0]` + 1 entries count, the others repeat B·T. So nobody else writes
    into these arrays. `touched` keeps the compiler from leaving out reading ahead."""

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
    leading: NDArray[np.int64]
    segments: NDArray[np.int64]
    touched: NDArray[np.int64]
    past_cache: NDArray[np.bool_]


def aligned_empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """np.empty on a cache line: 10-20 % faster to write than where the allocator happens to begin."""
    size = math.prod(shape) * dtype.itemsize
    raw = np.empty(size + LINE_BYTES, np.uint8)
    first = -raw.ctypes.data % LINE_BYTES
    return raw[first : first + size].view(dtype).reshape(shape)


def new_arrays(
    micro_batch_size: int,
    sequence_length: int,
    ids_dtype: DTypeLike,
    allocate: Allocate | None = None,
    *,
    read_soon: bool = False,
) -> BatchArrays:
    """Fresh memory for a (B, T) micro-batch. What is read again at once, by the certificate, stays in the cache however
    large it is."""
    shape = (micro_batch_size, sequence_length)
    id_bytes = 2 * np.dtype(ids_dtype).itemsize * math.prod(shape)
    allocate = aligned_empty if allocate is None else allocate
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
        leading=np.zeros(micro_batch_size, np.int64),
        segments=np.zeros(1, np.int64),
        touched=np.zeros(1, np.int64),
        past_cache=np.array([not read_soon and id_bytes >= _CACHE_BYTES]),
    )
    arrays.loss_mask[...] = False
    arrays.cu_seqlens[...] = micro_batch_size * sequence_length
    return arrays
