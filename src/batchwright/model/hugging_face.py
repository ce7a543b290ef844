"""Any causal language model of the transformers library, from the content of a config.json, behind our protocol.

    config.json ─▶ AutoModelForCausalLM.from_config ─▶ HuggingFaceScores    forward: logits as the model makes them
                   (its own code, no remote code)      HuggingFaceHidden    hidden + output_weight: the chunked loss

Documents are kept apart by masks that we build and hand over, (B, 1, T, T) and additive, one for each kind of layer
(full, sliding window): the library's own guess from restarting position ids is not relied on. Which of the two forms a
model gets is measured: if its logits are its output matrix times its last hidden vectors *and nothing else* (no bias,
no scaling, no soft cap), the second.

Guarantee: the numbers are those of the library's model in evaluation mode in fp32: no dropout, whatever config.json
says; no cache; an id named as padding there trains like every other. What the library keeps for experts' balance (a
router's own loss) is not added. Price: the library's import (5 s, once), masks of 4·B·T² bytes and T² products however
short the documents; weights as the model's code draws them, so a changed layer changes those drawn after it.
"""

import inspect
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from batchwright.foundation.errors import InputError, nearest
from batchwright.foundation.fingerprint import canonical_json
from batchwright.model.description import HuggingFaceModel, check_longest
from batchwright.model.isolation import isolation_mask

FULL, SLIDING = "full_attention", "sliding_attention"
_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")
_AMPLIFIED = 1000.0  # fresh scores are small, and a soft cap is nearly straight there


class HuggingFaceScores(nn.Module):
    """A model of the library that gives scores alone."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model.eval()
        self._kinds = _layer_kinds(model.config)
        self._window: int | None = getattr(model.config, "sliding_window", None)

    @property
    def blocks(self) -> tuple[nn.Module, ...]:
        """The layers, found as the list that has as many as the config says."""
        layers = getattr(self.model.config, "num_hidden_layers", None)
        lists = (m for m in self.model.modules() if isinstance(m, nn.ModuleList) and len(m) == layers)
        return tuple(next(lists, ()))

    def train(self, mode: bool = True) -> "HuggingFaceScores":
        """Training mode would bring dropout back; nothing else in these models asks for it."""
        super().train(mode)
        self.model.eval()
        return self

    def forward(
        self, ids: Tensor, position_ids: Tensor, *, isolate: bool = True, lengths: Sequence[int] | None = None
    ) -> Tensor:
        """(B, T) → (B, T, V)."""
        return self.model(**self._inputs(ids, position_ids, isolate)).logits

    def _inputs(self, ids: Tensor, position_ids: Tensor, isolate: bool) -> dict[str, Any]:
        return {
            "input_ids": ids.long(),
            "position_ids": position_ids.long(),
            "attention_mask": self._masks(position_ids, isolate),
            "use_cache": False,
        }

    def _masks(self, position_ids: Tensor, isolate: bool) -> Tensor | dict[str, Tensor]:
        """Additive (B, 1, T, T); by kind of layer where there are several."""
        slots = torch.arange(position_ids.shape[1], device=position_ids.device)
        dtype = next(self.model.parameters()).dtype
        full = isolation_mask(position_ids if isolate else slots.expand(position_ids.shape), dtype)
        if self._window is None or self._kinds == {FULL}:
            return full
        far = slots[:, None] - slots[None, :] >= self._window
        sliding = full.masked_fill(far, float("-inf"))
        return {FULL: full, SLIDING: sliding} if self._kinds else sliding


class HuggingFaceHidden(HuggingFaceScores):
    """A model of the library whose scores are its last hidden vectors times its output matrix."""

    @property
    def output_weight(self) -> Tensor:
        """(V, D)."""
        return self.model.get_output_embeddings().weight

    def hidden(
        self, ids: Tensor, position_ids: Tensor, *, isolate: bool = True, lengths: Sequence[int] | None = None
    ) -> Tensor:
        """(B, T) → (B, T, D)."""
        return self.model.base_model(**self._inputs(ids, position_ids, isolate)).last_hidden_state


@dataclass(frozen=True, kw_only=True)
class ShapeFacts:
    """What the module says of itself without its weights."""

    parameters: int
    multiplied: int | None  # weights in matrix products; none for a mixture of experts
    attention_width: int  # L·H·K


def build_hugging_face(description: HuggingFaceModel, *, dtype: torch.dtype, read: bool) -> nn.Module:
    """Fresh weights from torch's generator as it stands, or those of `description.weights`. Raises InputError."""
    model = _model_of(description, dtype)
    if read and description.weights is not None:
        model = _with_weights(model, description.weights, dtype)
    scores = HuggingFaceScores(model)
    return HuggingFaceHidden(model) if _scores_are_a_product(scores) else scores


def shape_facts(description: HuggingFaceModel) -> ShapeFacts:
    return _shape_facts(canonical_json(description.to_dict()))


@cache
def _shape_facts(described: bytes) -> ShapeFacts:
    with torch.device("meta"):
        model = _model_of(HuggingFaceModel(**json.loads(described)), torch.float32)
    config = model.config
    parameters = sum(p.numel() for p in model.parameters())
    head = model.get_output_embeddings()
    looked_up = sum(
        module.weight.numel()
        for module in model.modules()
        if isinstance(module, nn.Embedding) and (head is None or module.weight is not head.weight)
    )
    experts = max((getattr(config, key, None) or 1) for key in _EXPERTS)
    heads = getattr(config, "num_attention_heads", 0)
    size = getattr(config, "head_dim", None) or getattr(config, "hidden_size", 0) // max(1, heads)
    return ShapeFacts(
        parameters=parameters,
        multiplied=parameters - looked_up if experts == 1 else None,
        attention_width=getattr(config, "num_hidden_layers", 0) * heads * size,
    )


def _model_of(description: HuggingFaceModel, dtype: torch.dtype) -> Any:
    transformers = _library()
    values = description.config
    kind = values.pop("model_type")
    if kind not in transformers.CONFIG_MAPPING:
        suggestion = nearest(kind, transformers.CONFIG_MAPPING)
        raise InputError(
            f"transformers {transformers.__version__} knows no model_type {kind!r}",
            remedy=f"did you mean {suggestion!r}?" if suggestion else "a newer transformers, or another config.json",
        )
    # Ids of the config's own tokenizer mean nothing here, and a padding id would never be trained.
    values |= {f"{name}_token_id": None for name in ("bos", "eos", "pad")}
    try:
        config = transformers.AutoConfig.for_model(kind, **values)
        check_longest(description.sequence_length, getattr(config, "max_position_embeddings", None), "its config")
        _layer_kinds(config)
        model = transformers.AutoModelForCausalLM.from_config(config, trust_remote_code=False, dtype=dtype)
    except InputError:
        raise
    except Exception as error:  # what a model's own code says of a config it cannot use
        words = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(
            f"transformers cannot build a {kind} language model of this config.json: {words[0]}"
        ) from error
    takes = inspect.signature(model.base_model.forward).parameters
    for name in ("position_ids", "attention_mask"):
        if name not in takes:
            raise InputError(
                f"{type(model).__name__} takes no {name}, so its documents cannot be kept apart",
                remedy="a model with rotary or learned positions: llama, qwen3, gpt2 …",
            )
    return model


def _with_weights(model: Any, directory: str, dtype: torch.dtype) -> Any:
    """The same model with the weights that lie there, all of them and no other: safetensors, nothing downloaded."""
    if not Path(directory).is_dir():
        raise InputError("there is no such directory of weights", where=directory)
    _library().logging.disable_progress_bar()  # whoever calls us shows progress, we do not
    try:
        found, told = type(model).from_pretrained(
            directory,
            config=model.config,
            dtype=dtype,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
        )
    except Exception as error:  # of the library, of safetensors, of the file system
        words = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(
            f"these are not the weights of this config.json: {words[0]}",
            where=directory,
            remedy="the directory of safetensors files that belongs to it, with its own vocabulary_size",
        ) from error
    for what, names in (("lack", told["missing_keys"]), ("hold besides", told["unexpected_keys"])):
        if names:
            raise InputError(
                f"the weights {what} {sorted(names)[0]} ({len(names)} of them), so they are another model's",
                where=directory,
            )
    return found


def _layer_kinds(config: Any) -> frozenset[str]:
    """The kinds of layers, empty if the config does not tell them apart. Raises InputError for those not known."""
    kinds = frozenset(getattr(config, "layer_types", None) or ())
    unknown = kinds - {FULL, SLIDING}
    if unknown:
        raise InputError(
            f"layers of the kind {', '.join(sorted(unknown))} are not kept apart by an attention mask",
            remedy="a model of full_attention and sliding_attention layers",
        )
    return kinds


@torch.no_grad()
def _scores_are_a_product(adapted: HuggingFaceScores) -> bool:
    """Whether the logits are output matrix × last hidden vectors and nothing else, seen on six slots.

    The matrix's output is made a thousand times larger on its way: what bends or scales it after that shows.
    """
    model = adapted.model
    head = model.get_output_embeddings()
    if not isinstance(head, nn.Linear) or head.bias is not None:
        return False
    seen: dict[str, Tensor] = {}

    def amplify(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        seen["hidden"], seen["scores"] = inputs[0], output * _AMPLIFIED
        return seen["scores"]

    ids = torch.arange(6)[None] % head.out_features
    inputs = adapted._inputs(ids, torch.arange(6)[None], isolate=True)
    hook = head.register_forward_hook(amplify)
    try:
        logits = model(**inputs).logits
    finally:
        hook.remove()
    last = model.base_model(**inputs).last_hidden_state
    return bool(seen) and torch.equal(logits, seen["scores"]) and torch.equal(last, seen["hidden"])


def _library() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise InputError(
            "a model from a config.json needs the transformers library, which is not installed",
            remedy="pip install 'batchwright[hf]'",
        ) from error
    return transformers
