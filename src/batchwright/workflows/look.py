"""Look at one batch: the exact arrays of a step, and enough names to read them. No torch.

Price: opening a store and an existing index is milliseconds; the first look at a new T builds the index (about 0.2 s
per million documents).
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from batchwright.batches.batch import Batch
from batchwright.batches.geometry import BatchGeometry
from batchwright.batches.loader import BatchLoader
from batchwright.foundation.errors import InputError
from batchwright.sequences.index import SequenceIndex
from batchwright.sequences.plan import Plan
from batchwright.tokens.store import TokenStore
from batchwright.workflows.data import open_index


@dataclass(frozen=True, kw_only=True)
class BatchView:
    """One batch as it goes into the model, (B, T) each, beside the means to name what is in it."""

    step: int
    inputs: NDArray[Any]
    targets: NDArray[Any]
    loss_mask: NDArray[np.bool_]
    position_ids: NDArray[np.int32]
    documents: NDArray[np.int64]  # number of the document within its split, −1 where padding
    cu_seqlens: NDArray[np.int32]
    eot_id: int
    token_bytes: Callable[[int], bytes]
    document_name: Callable[[int], str]

    @property
    def masked(self) -> NDArray[np.bool_]:
        """(B, T): where a token is laid that the store's loss mask leaves out of the targets."""
        return (self.documents >= 0) & ~self.loss_mask

    def to_json(self) -> dict[str, Any]:
        """The arrays as nested lists. `loss_mask` is false where padding is and where `masked` is true."""
        return {
            "step": self.step,
            "shape": list(self.inputs.shape),
            "inputs": self.inputs.tolist(),
            "targets": self.targets.tolist(),
            "loss_mask": self.loss_mask.tolist(),
            "masked": self.masked.tolist(),
            "position_ids": self.position_ids.tolist(),
            "documents": self.documents.tolist(),
            "cu_seqlens": self.cu_seqlens.tolist(),
            "eot_id": self.eot_id,
        }


def look_at_batch(
    store_directory: Path,
    *,
    rows: int,
    sequence_length: int,
    step: int = 0,
    split: str = "train",
    packing: str = "best-fit",
    seed: int = 0,
) -> tuple[BatchView, SequenceIndex]:
    """The batch that step number `step` (from 0) of a run with this B, T and seed eats."""
    if step < 0:
        raise InputError(f"there is no step {step}", remedy="steps count from 0")
    store = TokenStore.open(store_directory)
    index = open_index(store, sequence_length=sequence_length, split=split, packing=packing, seed=seed)
    geometry = BatchGeometry(global_batch_size=rows, micro_batch_size=rows, sequence_length=sequence_length)
    loader = BatchLoader(Plan.of(index, seed=seed), geometry)
    return view_of(store, split, next(iter(loader.step_at(step))), step), index


def view_of(store: TokenStore, split: str, batch: Batch, step: int) -> BatchView:
    """A batch in memory of its own, with the means to name what is in it."""

    def document_name(document: int) -> str:
        origin = store.provenance(split, document)
        return f"{origin.path}" + (f" @ {origin.offset:,}" if origin.offset else "")

    return BatchView(
        step=step,
        inputs=batch.inputs.copy(),
        targets=batch.targets.copy(),
        loss_mask=batch.loss_mask.copy(),
        position_ids=batch.position_ids.copy(),
        documents=batch.documents,
        cu_seqlens=batch.segment_ends.copy(),
        eot_id=store.eot_id,
        token_bytes=store.tokenizer.token_bytes,
        document_name=document_name,
    )


def liveliest_step(
    store_directory: Path, *, rows: int, sequence_length: int, steps: int, seed: int = 0
) -> tuple[int, dict[str, Any]]:
    """Among the first `steps` batches the one that shows most beginnings of documents, and the ledger of the epoch."""
    store = TokenStore.open(store_directory)
    index = open_index(store, sequence_length=sequence_length, seed=seed)
    geometry = BatchGeometry(global_batch_size=rows, micro_batch_size=rows, sequence_length=sequence_length)
    loader = BatchLoader(Plan.of(index, seed=seed), geometry)
    begun = [_beginnings(next(iter(loader.step_at(step))), store.eot_id) for step in range(steps)]
    return int(np.argmax(begun)), dict(index.counts)


def _beginnings(batch: Batch, eot_id: int) -> int:
    """Documents that begin, and once more those that begin inside a row: there one sees an end and a beginning."""
    begun = (batch.inputs == eot_id) & batch.loss_mask
    return int(begun.sum()) + batch.inputs.shape[0] * int(begun[:, 1:].sum())
