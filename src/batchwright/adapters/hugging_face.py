"""Batches for Hugging Face models, the Trainer and Accelerate.

    dataset  = Rows(plan, length=max_steps * G)                  G = per device × devices × accumulation
    collator = HuggingFaceCollator()
    Trainer(…, train_dataset=dataset, data_collator=collator)    with train_sampling_strategy="sequential"

Two shifts must not meet. A causal model here shifts `labels` itself (slot t is compared with labels[t + 1]), our
targets are shifted already. So the collator gives both:

    inputs        ␃ a b c | ␃ d         targets      a b c ␃ | d ␃
    shift_labels  a b c ␃ | d ␃         exactly the targets, -100 where masked: the loss uses them as they are
    labels        – a b c ␃ | d         shifted right by one: a model that ignores `shift_labels` still compares slot t
                                        with target t, for all slots but each row's last

Guarantee, where the model's loss takes `shift_labels` (all causal models of transformers ≥ 4.48 that use its common
loss): every target counts once, none is of another document, and `num_items_in_batch` counts them over accumulation
and ranks: the global mean. Documents are isolated by `position_ids` that restart. transformers isolates by them only
when neither a mask nor a *cache* is in play, so `use_cache=False` travels along; under flash attention only in batches
of one row: `flatten=True` gives (1, B·T). Price: one copy of the batch.

Not exact: models with an attention or a loss of their own that ignore these arguments; a run resumed by the Trainer
with another batch size or number of devices (it counts steps, not positions): begin `Rows` at the position instead and
set `ignore_data_skip=True`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from batchwright.adapters.rows import Row, stack_rows

IGNORED = -100
"""What Hugging Face's and torch's losses leave out."""


@dataclass(frozen=True, kw_only=True)
class HuggingFaceCollator:
    """Rows → the arguments of a causal model. `flatten`: one row of B·T slots, for flash attention."""

    flatten: bool = False

    def __call__(self, rows: Sequence[Row]) -> dict[str, Any]:
        return model_arguments(stack_rows(rows), flatten=self.flatten)


def model_arguments(batch: Row, *, flatten: bool = False) -> dict[str, Any]:
    """input_ids, position_ids, labels, shift_labels (B, T) int64, or (1, B·T); use_cache False."""
    targets = batch.targets.masked_fill(~batch.loss_mask, IGNORED)
    fields: dict[str, Tensor] = {
        "input_ids": batch.inputs,
        "position_ids": batch.position_ids.long(),
        "labels": shifted_right(targets),
        "shift_labels": targets,
    }
    if flatten:
        fields = {name: field.reshape(1, -1) for name, field in fields.items()}
        fields["labels"] = shifted_right(fields["shift_labels"])
    return {**fields, "use_cache": False}


def shifted_right(targets: Tensor) -> Tensor:
    """(B, T): target t in slot t + 1, the first slot ignored: what a model that shifts by itself undoes."""
    labels = torch.full_like(targets, IGNORED)
    labels[:, 1:] = targets[:, :-1]
    return labels
