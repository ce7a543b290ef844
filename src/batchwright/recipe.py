"""A run as one frozen tree, read from TOML and written back to it.

Guarantees: the tree gathers the configurations that live with their owners, so every field is checked where it is
known; what cannot be is refused by name (`foundation.layered_table`). The layers, weakest first:

    defaults  <  recipe.toml  <  BATCHWRIGHT_TRAINING__SEED=1  <  --set training.seed=1

(a flag of a verb is a `--set` in short hand). Price: a few milliseconds, the standard library alone; no torch.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

import tomli_w

from batchwright.foundation.errors import RecipeError
from batchwright.foundation.layered_table import LayeredTable, Table
from batchwright.model.config import ModelConfig
from batchwright.model.description import FunctionModel, HuggingFaceModel
from batchwright.tokens.prepare_recipe import PrepareRecipe
from batchwright.training.config import TrainingConfig


@dataclass(frozen=True, kw_only=True)
class SourceRecipe:
    """One source of a mixture: [[data.sources]]."""

    name: str
    store: str  # directory of its token store
    weight: float = 1.0  # of the slots: whole numbers in any proportion, or shares that sum to 1
    epoch_cap: float | None = None  # how often its rows may be read; checked against the budget before the run


@dataclass(frozen=True, kw_only=True)
class StageRecipe:
    """From some place on other data or another batch: [[data.stages]]. What is left out stays as it was."""

    at_position: int | None = None  # where it begins: one of the three
    at_tokens: int | None = None  # the first step that begins after so many slots
    at_step: int | None = None  # after so many updates
    sources: tuple[SourceRecipe, ...] = ()  # all of them, with their new weights
    sequence_length: int | None = None  # T
    global_batch_size: int | None = None  # sequences per update
    seed: int | None = None  # of the order of the rows, from each source's next epoch on

    def __post_init__(self) -> None:
        places = [self.at_position, self.at_tokens, self.at_step]
        if sum(place is not None for place in places) != 1:
            raise RecipeError(
                f"a stage begins at_position {places[0]}, at_tokens {places[1]}, at_step {places[2]}",
                remedy="say one of the three",
            )
        for name in ("at_position", "at_tokens", "at_step", "sequence_length", "global_batch_size"):
            value, least = getattr(self, name), 0 if name.startswith("at_") else 1
            if value is not None and value < least:
                raise RecipeError(f"{name} of a stage is {value}", remedy=f"{least} or more")


@dataclass(frozen=True, kw_only=True)
class DataRecipe:
    """Where the tokens lie and how they become rows."""

    store: str = "store"  # directory of the token store, relative to where the command runs
    packing: Literal["best-fit", "concatenate", "best-fit-truncated", "start-aligned"] = "best-fit"
    sources: tuple[SourceRecipe, ...] = ()  # instead of `store`: several, mixed; the first one's held-out rows validate
    seed: int = 0  # names the order of the rows; the weights have their own seed in [training]
    stages: tuple[StageRecipe, ...] = ()  # in order; appended while a run lasts, never edited once they have begun
    skip: tuple[tuple[int, int], ...] = ()  # [first, stop) positions that nobody eats

    def __post_init__(self) -> None:
        for first, stop in self.skip:
            if not 0 <= first < stop:
                raise RecipeError(f"skip holds [{first}, {stop}]", remedy="[first, stop] with first below stop, from 0")


@dataclass(frozen=True, kw_only=True)
class RunRecipe:
    """What is made of a run beside its weights; changes no bit of them."""

    tensorboard: bool = False  # event files for TensorBoard beside the log; needs the extra of that name
    samples: int = 3  # texts that the finished model writes for the report; 0: none
    peak_flops_per_second: float | None = None  # of all ranks' devices, for MFU; none: measured by a matrix product

    def __post_init__(self) -> None:
        if self.samples < 0:
            raise RecipeError(f"samples is {self.samples}, and must be 0 or more")
        if self.peak_flops_per_second is not None and not 0 < self.peak_flops_per_second < float("inf"):
            raise RecipeError(f"peak_flops_per_second is {self.peak_flops_per_second}, and must be positive and finite")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything a run is described by."""

    model: ModelConfig | HuggingFaceModel | FunctionModel  # the last two by the key that names them
    training: TrainingConfig
    data: DataRecipe = field(default_factory=DataRecipe)
    run: RunRecipe = field(default_factory=RunRecipe)
    prepare: PrepareRecipe | None = None  # how the store of `data` is made; changes nothing of a run

    def __post_init__(self) -> None:
        if self.training.sequence_length > self.model.sequence_length:
            raise RecipeError(
                f"[training] sequence_length {self.training.sequence_length:,} is longer than the model's "
                f"{self.model.sequence_length:,}",
                remedy="leave [model] sequence_length out: it then follows [training]",
            )
        longest = max((stage.sequence_length or 0 for stage in self.data.stages), default=0)
        if longest > self.model.sequence_length:
            raise RecipeError(
                f"a stage has rows of {longest:,} tokens, the model reads {self.model.sequence_length:,}",
                remedy=f"[model] sequence_length = {longest}",
            )

    @property
    def shape(self) -> ModelConfig:
        """The model as our own shape, for whatever knows its every tensor. Raises RecipeError for a foreign one."""
        if isinstance(self.model, ModelConfig):
            return self.model
        raise RecipeError(
            "the closed forms know batchwright's own Transformer, and [model] names a foreign one",
            remedy="train a few steps with --set training.micro_batch_size=… and see: the run says when memory ends, "
            "and batchwright measure throughput how fast each size is",
        )

    def to_table(self) -> Table:
        """The tree as plain tables, without the keys whose value is None (TOML has no such value)."""
        return cast(Table, _without_none(asdict(self)))

    def to_toml(self) -> str:
        return tomli_w.dumps(self.to_table())


@dataclass(frozen=True, kw_only=True)
class TextRecipe:
    """What `prepare` reads of a recipe. The tables of the run may be absent, and are looked at when it runs."""

    prepare: PrepareRecipe | None = None
    data: DataRecipe = field(default_factory=DataRecipe)
    model: dict[str, Any] = field(default_factory=dict[str, Any])
    training: dict[str, Any] = field(default_factory=dict[str, Any])
    run: dict[str, Any] = field(default_factory=dict[str, Any])


def load_recipe(
    path: Path | None,
    *,
    settings: Iterable[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Recipe:
    """The recipe at `path` with the environment and the `table.key=value` settings laid over it."""
    return _one_length(_laid(path, settings, environment)).structure(Recipe)


def load_text_recipe(
    path: Path | None,
    *,
    settings: Iterable[str] = (),
    flags: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
) -> TextRecipe:
    """The same for the part that says how text becomes a store; `flags` are keys of [prepare], laid last."""
    layers = _laid(path, settings, environment)
    for name, value in (flags or {}).items():
        layers.lay_flag("prepare", name, value)
    return _one_length(layers).structure(TextRecipe)


def _laid(path: Path | None, settings: Iterable[str], environment: Mapping[str, str] | None) -> LayeredTable:
    layers = LayeredTable()
    if path is not None:
        layers.lay_file(path)
    layers.lay_environment(os.environ if environment is None else environment)
    for setting in settings:
        layers.lay_setting(setting)
    return layers


def _one_length(layers: LayeredTable) -> LayeredTable:
    """One T, unless the model is for more."""
    training, model = layers.table.get("training"), layers.table.get("model")
    if isinstance(training, dict) and isinstance(model, dict) and "sequence_length" in training:
        cast(Table, model).setdefault("sequence_length", training["sequence_length"])
    return layers


def _without_none(value: object) -> object:
    if isinstance(value, dict):
        return {k: _without_none(v) for k, v in cast(Table, value).items() if v is not None}
    return [_without_none(v) for v in cast(Iterable[object], value)] if isinstance(value, (list, tuple)) else value
