"""Every row of an index once, in a fixed order: what a validation loss is computed on.

No permutation and no state, so two models, or one model before and after a resume, are measured on the same batches.
The last batch is completed with masked filler.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import DTypeLike

from batchwright.batches.batch import Batch
from batchwright.batches.buffers import new_arrays
from batchwright.batches.collate import Collator
from batchwright.batches.loader import check_dtype
from batchwright.foundation.errors import InputError
from batchwright.sequences.index import SequenceIndex
from batchwright.sequences.sampler import PlacedRows


def evaluation_batches(
    index: SequenceIndex, micro_batch_size: int, *, rows: int | None = None, ids_dtype: DTypeLike = np.int64
) -> Iterator[Batch]:
    """Batches over all rows, or `rows` of them spread evenly over the index (neighbouring rows are often pieces of one
    long document, so the first ones would be a few documents only). Each is valid until the next is taken;
    `positions` count the rows evaluated, `epochs` are 0. Raises InputError (no rows, micro_batch_size < 1)."""
    stop = index.row_count if rows is None else min(rows, index.row_count)
    if stop < 1 or micro_batch_size < 1:
        raise InputError(f"evaluation over {stop} rows in micro-batches of {micro_batch_size}", remedy="both from 1")
    check_dtype(np.dtype(ids_dtype), index.stored.vocabulary_size)
    return _batches(index, micro_batch_size, stop, np.dtype(ids_dtype))


def _batches(index: SequenceIndex, micro_batch_size: int, stop: int, dtype: DTypeLike) -> Iterator[Batch]:
    collator = Collator(index)
    arrays = new_arrays(micro_batch_size, index.sequence_length, dtype)
    for first in range(0, stop, micro_batch_size):
        rows = np.arange(first, min(first + micro_batch_size, stop), dtype=np.int64) * index.row_count // stop
        zeros = np.zeros_like(rows)
        positions = np.arange(first, first + rows.shape[0], dtype=np.int64)
        yield collator.collate(arrays, PlacedRows(np.stack([positions, zeros, rows, zeros], 1)))
