"""What is minimised: one module that turns a micro-batch into its summed loss, the model inside it.

Guarantee: every forward of training and evaluation goes through `Objective.forward`, so whatever hooks into a module's
call (DDP, FSDP, autocast) sees each micro-batch once; the value is the *sum* of −log p over the targets, never a mean.
Price: none; the two forms of the loss are those of `model.loss`, and choosing is an `if`.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from batchwright.model.isolation import segment_lengths
from batchwright.model.loss import chunked_cross_entropy, masked_cross_entropy
from batchwright.model.protocol import HiddenModel, device_of
from batchwright.training.config import LossForm


class MicroBatch(Protocol):
    """What training reads of a (B, T) batch."""

    @property
    def inputs(self) -> npt.NDArray[Any]: ...
    @property
    def targets(self) -> npt.NDArray[Any]: ...
    @property
    def loss_mask(self) -> npt.NDArray[np.bool_]: ...
    @property
    def position_ids(self) -> npt.NDArray[Any]: ...


MicroBatchTensors = tuple[Tensor, Tensor, Tensor, Tensor, Sequence[int] | None]
"""The arguments of `Objective.forward`, in its order."""


class Objective(nn.Module):
    """A model, and how its loss is taken: a model that gives scores alone has the whole loss, whatever `loss` says."""

    def __init__(self, model: nn.Module, *, isolate: bool = True, loss: LossForm = "chunked") -> None:
        super().__init__()
        self.model = model
        self.isolate, self.loss = isolate, loss

    def forward(
        self,
        ids: Tensor,
        targets: Tensor,
        loss_mask: Tensor,
        position_ids: Tensor,
        lengths: Sequence[int] | None = None,
    ) -> Tensor:
        """(B, T) each → the sum of −log p in nats over the slots where `loss_mask` is True. `lengths`: see
        `isolation_of`."""
        if self.loss == "whole" or not isinstance(self.model, HiddenModel):
            logits = self.model(ids, position_ids, isolate=self.isolate, lengths=lengths)
            return masked_cross_entropy(logits, targets, loss_mask)[0]
        hidden = self.model.hidden(ids, position_ids, isolate=self.isolate, lengths=lengths)
        return chunked_cross_entropy(hidden, self.model.output_weight, targets, loss_mask)[0]

    def tensors_of(self, batch: MicroBatch) -> MicroBatchTensors:
        """The arguments of `forward`; here, and only here, a batch becomes tensors."""
        device = device_of(self.model)
        ids, targets, mask, position_ids = (
            torch.from_numpy(array).to(device)
            for array in (batch.inputs, batch.targets, batch.loss_mask, batch.position_ids)
        )
        return ids, targets, mask, position_ids, segment_lengths(batch.position_ids) if self.isolate else None


def target_count(batch: MicroBatch) -> int:
    """Target tokens of a micro-batch."""
    return int(np.count_nonzero(batch.loss_mask))
