"""The one protocol through which any model trains: (B, T) ids and position ids in, logits or hidden vectors out.

    forward(ids, position_ids, *, isolate, lengths) → (B, T, V)      always: one score per vocabulary entry
    hidden(ids, position_ids, *, isolate, lengths)  → (B, T, D)      if the scores are hidden · output_weightᵀ and
    output_weight                                     (V, D)         nothing else; then the chunked loss is used
    blocks                                                           if it has any: the layers, one module each

`position_ids` restart at 0 with every document of a row; with `isolate` a document must not see its neighbours
(`isolation.attend` and `isolation_mask` need only the position ids); `lengths` are the slots of every segment of the
flattened B·T, or None, for whoever wants them (`isolation.segment_lengths`).

Guarantee: `build_model` gives the same weights for the same description and seed. Our Transformer has all of this by
itself; a foreign model was shown before the first step to keep it (`probe`). Price: for our own none; without `hidden`
the whole logits, 12·B·T·V bytes in fp32 at the peak.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from batchwright.foundation.errors import InputError
from batchwright.foundation.randomness import key
from batchwright.model.config import ModelConfig
from batchwright.model.description import FunctionModel, HuggingFaceModel, ModelDescription
from batchwright.model.transformer import Transformer


@runtime_checkable
class HiddenModel(Protocol):
    """A model whose scores are `hidden` times `output_weight`, so that no loss needs to hold all of them at once."""

    @property
    def output_weight(self) -> Tensor: ...
    def hidden(
        self, ids: Tensor, position_ids: Tensor, *, isolate: bool = True, lengths: Sequence[int] | None = None
    ) -> Tensor: ...


def build_model(
    description: ModelDescription, *, seed: int, dtype: torch.dtype = torch.float32, read: bool = True
) -> nn.Module:
    """The module of a description, fresh weights named by `seed`, or those that it says are to be read (not if `read`
    is False: for whoever puts a checkpoint's in their place). Raises InputError.

    Our own weights are drawn each from the stream of its own name. Foreign ones are drawn by the model's own code, in
    its order, from torch's generator set to the seed for as long as that takes.
    """
    if isinstance(description, ModelConfig):
        return Transformer(description, seed=seed, dtype=dtype)
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(key(seed, "weights"))
        if isinstance(description, FunctionModel):
            from batchwright.model.by_name import build_by_name

            return build_by_name(description).to(dtype)
        if isinstance(description, HuggingFaceModel):
            from batchwright.model.hugging_face import build_hugging_face

            return build_hugging_face(description, dtype=dtype, read=read)
    raise InputError(f"a {type(description).__name__} does not describe a model that can be built")


def scores(model: nn.Module, ids: Tensor, position_ids: Tensor, *, isolate: bool) -> Tensor:
    """(B, T) → (B, V): the scores of what follows the last slot of each row."""
    if isinstance(model, HiddenModel):
        last = model.hidden(ids, position_ids, isolate=isolate)[:, -1]
        return last.to(model.output_weight.dtype) @ model.output_weight.T
    return model(ids, position_ids, isolate=isolate, lengths=None)[:, -1]


def blocks_of(model: nn.Module) -> tuple[nn.Module, ...]:
    """The layers, first to last; none if the model does not say."""
    return tuple(getattr(model, "blocks", ()))


def device_of(model: nn.Module) -> torch.device:
    return next(model.parameters()).device
