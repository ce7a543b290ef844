"""A run as one frozen tree, read from TOML and written back to it.

Guarantees: the tree gathers the configurations that live with their owners, so every field is checked where it is
known; an unknown key is refused with its table and the nearest valid name; a value of the wrong type says what was
expected and which layer said it. The layers, weakest first:

    defaults  <  recipe.toml  <  BATCHWRIGHT_TRAINING__SEED=1  <  --set training.seed=1

(a flag of a verb is a `--set` in short hand). Price: a few milliseconds, the standard library alone; no torch.
"""

import os
import tomllib
import types
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import tomli_w

from batchwright.foundation.errors import BatchwrightError, RecipeError, nearest
from batchwright.foundation.units import parse_count
from batchwright.model.config import ModelConfig
from batchwright.model.description import FunctionModel, HuggingFaceModel
from batchwright.tokens.prepare_recipe import PrepareRecipe
from batchwright.training.config import TrainingConfig

ENVIRONMENT_PREFIX = "BATCHWRIGHT_"
LEVEL_MARK = "__"  # BATCHWRIGHT_TRAINING__SEED is [training] seed: one underscore already stands inside names

Table = dict[str, Any]
Address = tuple[str, ...]


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


Tree = TypeVar("Tree", Recipe, TextRecipe)


def load_recipe(
    path: Path | None,
    *,
    settings: Iterable[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Recipe:
    """The recipe at `path` with the environment and the `table.key=value` settings laid over it."""
    return _laid(path, settings, environment).structure(Recipe)


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
    return layers.structure(TextRecipe)


def _laid(path: Path | None, settings: Iterable[str], environment: Mapping[str, str] | None) -> "_Layers":
    layers = _Layers()
    if path is not None:
        layers.lay_file(path)
    layers.lay_environment(os.environ if environment is None else environment)
    for setting in settings:
        layers.lay_setting(setting)
    return layers


class _Layers:
    """The merged table, and for every value who said it last."""

    def __init__(self) -> None:
        self.table: Table = {}
        self.origins: dict[Address, str] = {}
        self.file = "the recipe"

    def lay_file(self, path: Path) -> None:
        self.file = str(path)
        try:
            table = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise RecipeError(
                f"the recipe cannot be read: {error.strerror}", where=str(path), remedy="give the path of a TOML file"
            ) from error
        except (
            ValueError,
            RecursionError,
        ) as error:  # not TOML, not UTF-8, a number of 5,000 digits, nested too deeply
            raise RecipeError(f"the recipe is not TOML: {error}", where=str(path)) from error
        self._lay(table, (), str(path))

    def lay_environment(self, environment: Mapping[str, str]) -> None:
        for name in sorted(environment):
            address = tuple(name.removeprefix(ENVIRONMENT_PREFIX).lower().split(LEVEL_MARK))
            if name.startswith(ENVIRONMENT_PREFIX) and len(address) > 1:
                self._lay_text(address, environment[name], origin=name)

    def lay_setting(self, setting: str) -> None:
        name, equals, text = setting.partition("=")
        address = tuple(part.strip() for part in name.split("."))
        if not equals or len(address) < 2 or not all(address):
            raise RecipeError(
                f"--set takes TABLE.KEY=VALUE, not {setting!r}", remedy="for example --set training.learning_rate=0.002"
            )
        self._lay_text(address, text.strip(), origin=f"--set {setting}")

    def lay_flag(self, table: str, key: str, value: object) -> None:
        self._lay({table: {key: value}}, (), f"--{key.replace('_', '-')}")

    def _lay_text(self, address: Address, text: str, *, origin: str) -> None:
        """Text is read as a TOML value where it is one (3e-4, true, [0.9, 0.95]) and as a plain string otherwise."""
        try:
            value: Any = tomllib.loads(f"value = {text}")["value"]
        except (ValueError, RecursionError):
            value = text
        for part in reversed(address):
            value = {part: value}
        self._lay(value, (), origin)

    def _lay(self, table: Table, address: Address, origin: str) -> None:
        for key, value in table.items():
            here = (*address, key)
            self.origins[here] = origin
            if isinstance(value, dict):
                self._lay(cast(Table, value), here, origin)
                continue
            target = self.table
            for part in address:
                target = target.setdefault(part, {})
                if not isinstance(target, dict):
                    raise RecipeError(f"{part!r} is a single value, and {'.'.join(here)} needs a table", where=origin)
            target[key] = value

    def structure(self, kind: type[Tree]) -> Tree:
        training, model = self.table.get("training"), self.table.get("model")
        if isinstance(training, dict) and isinstance(model, dict) and "sequence_length" in training:
            model.setdefault("sequence_length", training["sequence_length"])  # one T, unless the model is for more
        return cast(Tree, self._value(kind, self.table, ()))

    def _where(self, address: Address) -> str:
        origin = self.origins.get(address, self.file)
        return f"{origin}, [{'.'.join(address[:-1]) or 'top level'}] {address[-1]}" if address else origin

    def _wrong(self, address: Address, expected: str, value: object) -> RecipeError:
        return RecipeError(
            f"{'.'.join(address)} must be {expected}, not {value!r}",
            where=self._where(address),
        )

    def _value(self, kind: Any, value: object, address: Address) -> object:
        """`value` as a `kind`, or the error that names its address."""
        origin, arguments = get_origin(kind), get_args(kind)
        if is_dataclass(kind) and isinstance(kind, type):
            return self._dataclass(kind, value, address)
        if origin is Literal:
            if value in arguments:
                return value
            raise self._choice(address, value, [str(argument) for argument in arguments])
        if origin in (Union, types.UnionType):
            if value is None or (value == "none" and types.NoneType in arguments):
                return None
            return self._value(self._alternative(arguments, value, address), value, address)
        if origin is dict:
            if not isinstance(value, dict):
                raise self._wrong(address, "a table", value)
            return cast(object, value)
        if origin is tuple:
            return self._tuple(arguments, value, address)
        return self._scalar(kind, value, address)

    def _alternative(self, kinds: tuple[Any, ...], value: object, address: Address) -> Any:
        """Which of several kinds is meant. Of several tables the one whose first field is there, else the first."""
        fitting = [
            kind for kind in kinds if isinstance(value, dict) == (is_dataclass(kind) or get_origin(kind) is dict)
        ]
        fitting = [kind for kind in fitting or kinds if kind is not types.NoneType]
        marks = {fields(kind)[0].name: kind for kind in fitting[1:] if is_dataclass(kind)}
        named = [mark for mark in marks if isinstance(value, dict) and mark in value]
        if len(named) > 1:
            raise RecipeError(
                f"[{'.'.join(address)}] has both {' and '.join(named)}", where=self.file, remedy="one of them"
            )
        return marks[named[0]] if named else fitting[0]

    def _dataclass(self, kind: type, value: object, address: Address) -> object:
        if not isinstance(value, dict):
            raise self._wrong(address, "a table", value)
        table, hints = cast(Table, value), get_type_hints(kind)
        known = [f.name for f in fields(kind) if f.init]
        for key in table:
            if key not in known:
                raise self._unknown((*address, key), known)
        for each in fields(kind):
            required = each.default is MISSING and each.default_factory is MISSING
            if each.init and required and each.name not in table and not _is_table(hints[each.name]):
                raise RecipeError(
                    f"{'.'.join((*address, each.name))} is missing, and it has no default",
                    where=self.file,
                    remedy=f"add `{each.name} = …` under [{'.'.join(address)}]",
                )
        given = {
            name: self._value(hints[name], table.get(name, {}), (*address, name))
            for name in known
            if name in table or _is_table(hints[name])
        }
        try:
            return kind(**given)
        except RecipeError as error:
            if error.where is not None:
                raise
            raise RecipeError(error.what, where=self._where(address), remedy=error.remedy) from error
        except BatchwrightError as error:
            raise RecipeError(error.what, where=self._where(address), remedy=error.remedy) from error

    def _unknown(self, address: Address, known: list[str]) -> RecipeError:
        *table, key = address
        name = nearest(key, known)
        hint = f"did you mean {name!r}? " if name else ""
        inside = f"[{'.'.join(table)}]" if table else "the recipe's top level"
        return RecipeError(
            f"unknown key {key!r} in {inside}",
            where=self.origins.get(address, self.file),
            remedy=f"{hint}known there: {', '.join(known)}",
        )

    def _choice(self, address: Address, value: object, choices: list[str]) -> RecipeError:
        name = nearest(str(value), choices)
        error = self._wrong(address, f"one of {', '.join(choices)}", value)
        return RecipeError(error.what, where=error.where, remedy=f"did you mean {name!r}?" if name else None)

    def _tuple(self, arguments: tuple[Any, ...], value: object, address: Address) -> tuple[object, ...]:
        if not isinstance(value, list):
            raise self._wrong(address, "a list", value)
        items = cast(list[object], value)
        kinds = [arguments[0]] * len(items) if len(arguments) == 2 and arguments[1] is Ellipsis else list(arguments)
        if len(kinds) != len(items):
            raise self._wrong(address, f"a list of {len(kinds)}", value)
        return tuple(self._value(kind, item, address) for kind, item in zip(kinds, items, strict=True))

    def _scalar(self, kind: Any, value: object, address: Address) -> object:
        if kind is int and isinstance(value, str):
            try:
                value = parse_count(value)  # "2M" reads better than 2000000
            except (BatchwrightError, ValueError) as error:
                raise self._wrong(address, "a whole number", value) from error
        if kind is int and isinstance(value, float) and value.is_integer():
            value = int(value)  # 2e6 is a float in TOML and a count to everyone who writes it
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise self._wrong(address, "a number of at most 64 bits, as all numbers of TOML are", value)
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if kind is str and not isinstance(value, str) and self.origins.get(address, "").startswith(("--set", "BATCH")):
            return str(value)  # a store named 2024 is still a name
        if isinstance(value, kind) and not (kind in (int, float) and isinstance(value, bool)):
            return value
        names = {int: "a whole number", float: "a number", str: "text in quotes", bool: "true or false"}
        raise self._wrong(address, names.get(kind, str(kind)), value)


def _is_table(kind: Any) -> bool:
    """Whether TOML writes it as a table that may also be left out, and then has its defaults."""
    if get_origin(kind) in (Union, types.UnionType):
        arguments = get_args(kind)
        return types.NoneType not in arguments and any(is_dataclass(argument) for argument in arguments)
    return is_dataclass(kind)


def _without_none(value: object) -> object:
    if isinstance(value, dict):
        return {k: _without_none(v) for k, v in cast(Table, value).items() if v is not None}
    return [_without_none(v) for v in cast(Iterable[object], value)] if isinstance(value, (list, tuple)) else value
