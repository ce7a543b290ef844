"""What a recipe's [model] may say: our own shape, a Hugging Face config.json, or a function. Plain values, no torch.

    [model]  width = 768 …                          → ModelConfig           our Transformer, every number in closed form
    [model]  hugging_face = "qwen/config.json"      → HuggingFaceModel      any causal model of the transformers library
    [model]  function = "package.module:build"      → FunctionModel         any nn.Module of the protocol in `protocol`

Guarantee: a description is frozen and holds everything that the module is built from (the content of a config.json, not
its place), so a checkpoint names its model and builds it again; code that a config.json would bring along is refused.
Price: reading one small file. Only `parameter_count` and `flops_per_token` of a Hugging Face model import transformers
(seconds, once), and build the module without its weights.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from batchwright.foundation.errors import InputError
from batchwright.foundation.files import translated
from batchwright.foundation.fingerprint import fingerprint
from batchwright.model.config import FLOPS_PER_WEIGHT, ModelConfig

LENGTH_NAMES = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")
"""What config.json files call the longest row."""

_NOT_THE_MODEL = frozenset({"_name_or_path", "transformers_version", "torch_dtype", "dtype", "use_cache"})


class ModelDescription(Protocol):
    """What the trainer, the checkpoints and the measurements know of a model before it is built."""

    @property
    def vocabulary_size(self) -> int: ...  # V
    @property
    def sequence_length(self) -> int: ...  # the longest row it is meant for
    @property
    def hash(self) -> str: ...
    def to_dict(self) -> dict[str, Any]:
        """All it is built from, as JSON can hold it; `description_of` is the way back."""
        ...

    def parameter_count(self) -> int | None:
        """Trained weights; none: only the built module knows."""
        ...

    def flops_per_token(self, sequence_length: int | None = None) -> int | None:
        """Forward and backward of one slot of a row of T; none: not known."""
        ...


@dataclass(frozen=True, kw_only=True)
class HuggingFaceModel:
    """A causal language model of the transformers library, its weights drawn anew or read."""

    hugging_face: str | dict[str, Any]  # path of a config.json, or what stands in one
    sequence_length: int  # the longest row it is meant for; at most the config's own
    vocabulary_size: int = 0  # V, instead of the config's own; 0: as it says
    weights: str | None = None  # directory of safetensors files to train on from; none: fresh weights

    def __post_init__(self) -> None:
        config = _read(self.hugging_face) if isinstance(self.hugging_face, str) else dict(self.hugging_face)
        where = self.hugging_face if isinstance(self.hugging_face, str) else None
        for key in ("auto_map", "trust_remote_code"):
            if config.get(key):
                raise InputError(
                    f"this config.json brings code of its own ({key}), and none is run from there",
                    where=where,
                    remedy="a model_type that the transformers library holds itself; or import the code yourself and "
                    'give [model] function = "package.module:build"',
                )
        if not isinstance(config.get("model_type"), str):
            raise InputError("this is not the config.json of a model: it states no model_type", where=where)
        if not self.vocabulary_size and not isinstance(config.get("vocab_size"), int):
            raise InputError(
                "this config.json states no vocab_size",
                where=where,
                remedy="[model] vocabulary_size = …, the store's; a config of several models (text and images) "
                "is not one that trains on text alone",
            )
        object.__setattr__(self, "vocabulary_size", self.vocabulary_size or config["vocab_size"])
        if self.vocabulary_size < 1 or self.sequence_length < 1:
            raise InputError(
                f"vocabulary_size {self.vocabulary_size} and sequence_length {self.sequence_length} must be at least 1"
            )
        object.__setattr__(self, "_config", {**config, "vocab_size": self.vocabulary_size})
        for name in LENGTH_NAMES:
            check_longest(self.sequence_length, config.get(name), name, where)

    @property
    def config(self) -> dict[str, Any]:
        """What stands in the config.json, with our vocabulary size."""
        return dict(self._config)  # type: ignore[attr-defined]

    @property
    def hash(self) -> str:
        return fingerprint(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        kept = {name: value for name, value in self.config.items() if name not in _NOT_THE_MODEL}
        return {
            "hugging_face": kept,
            "sequence_length": self.sequence_length,
            "vocabulary_size": self.vocabulary_size,
            **({} if self.weights is None else {"weights": self.weights}),
        }

    def parameter_count(self) -> int:
        from batchwright.model.hugging_face import shape_facts

        return shape_facts(self).parameters

    def flops_per_token(self, sequence_length: int | None = None) -> int | None:
        """6 per multiplied weight (Kaplan 2020, arXiv 2001.08361, §2.1) + 12·L·H·K·T for full-square attention (PaLM,
        arXiv 2204.02311, appendix B); none for a mixture of experts, which does not multiply all its weights."""
        from batchwright.model.hugging_face import shape_facts

        facts = shape_facts(self)
        if facts.multiplied is None:
            return None
        attention = 12 * facts.attention_width * (sequence_length or self.sequence_length)
        return FLOPS_PER_WEIGHT * facts.multiplied + attention


@dataclass(frozen=True, kw_only=True)
class FunctionModel:
    """The nn.Module that `function(vocabulary_size=…, sequence_length=…, **arguments)` returns."""

    function: str  # "package.module:name"
    vocabulary_size: int  # V, special tokens included
    sequence_length: int  # the longest row it is meant for
    arguments: dict[str, Any] = field(default_factory=dict[str, Any])  # handed to the function by name

    def __post_init__(self) -> None:
        module, _, name = self.function.partition(":")
        if not all(part.isidentifier() for part in (*module.split("."), *name.split("."))):
            raise InputError(
                f"{self.function!r} does not name a function", remedy='function = "package.module:build", for example'
            )
        if self.vocabulary_size < 1 or self.sequence_length < 1:
            raise InputError(
                f"vocabulary_size {self.vocabulary_size} and sequence_length {self.sequence_length} must be at least 1"
            )
        for given in ("vocabulary_size", "sequence_length"):
            if given in self.arguments:
                raise InputError(f"{given} stands in [model] itself, and not in its arguments")

    @property
    def hash(self) -> str:
        return fingerprint(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        return {
            "function": self.function,
            "vocabulary_size": self.vocabulary_size,
            "sequence_length": self.sequence_length,
            "arguments": dict(self.arguments),
        }

    def parameter_count(self) -> None:
        """Only the built module knows."""

    def flops_per_token(self, sequence_length: int | None = None) -> None:
        """Not known."""


def description_of(values: Mapping[str, Any]) -> ModelConfig | HuggingFaceModel | FunctionModel:
    """The description that `to_dict` gave."""
    for kind, mark in ((HuggingFaceModel, "hugging_face"), (FunctionModel, "function")):
        if mark in values:
            return kind(**values)
    return ModelConfig(**values)


def check_longest(wanted: int, longest: object, name: str, where: str | None = None) -> None:
    """Refuse rows that are longer than the model's table of positions. Raises InputError."""
    if isinstance(longest, int) and wanted > longest:
        raise InputError(
            f"rows of {wanted:,} tokens, and the model's positions end at {longest:,} ({name})",
            where=where,
            remedy=f"sequence_length = {longest}; or a larger {name} there, where positions are rotary",
        )


def _read(path: str) -> dict[str, Any]:
    with translated(Path(path)):
        text = Path(path).read_bytes()
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"this is not JSON: {error}", where=path) from error
    if not isinstance(config, dict):
        raise InputError("this is not the config.json of a model: it holds no object", where=path)
    return config
