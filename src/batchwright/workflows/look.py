"""Look at one batch: the exact arrays of a step, and enough names to read them. No torch.

Price: opening a store and an existing index is milliseconds; the first look at a new T builds the index.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


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

    def to_json(self) -> dict[str, Any]:
        """The arrays as nested lists."""
        return {
            "step": self.step,
            "shape": list(self.inputs.shape),
            "inputs": self.inputs.tolist(),
            "targets": self.targets.tolist(),
            "loss_mask": self.loss_mask.tolist(),
            "position_ids": self.position_ids.tolist(),
            "documents": self.documents.tolist(),
            "cu_seqlens": self.cu_seqlens.tolist(),
            "eot_id": self.eot_id,
        }
