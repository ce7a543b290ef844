"""Settings laid over one another and read as a tree of dataclasses: every value knows who said it last.

Guarantee: an unknown key is refused with its table and the nearest valid name; a value of the wrong type says what was
expected and which layer said it. Price: the standard library alone, a few milliseconds.
"""

import tomllib
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from batchwright.foundation.errors import BatchwrightError, RecipeError, nearest
from batchwright.foundation.units import parse_count

ENVIRONMENT_PREFIX = "BATCHWRIGHT_"
LEVEL_MARK = "__"  # BATCHWRIGHT_TRAINING__SEED is [training] seed: one underscore already stands inside names

Table = dict[str, Any]
Address = tuple[str, ...]
Tree = TypeVar("Tree")


class LayeredTable:
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
            target: Any = self.table
            for part in address:
                target = cast(Table, target).setdefault(part, {})
                if not isinstance(target, dict):
                    raise RecipeError(f"{part!r} is a single value, and {'.'.join(here)} needs a table", where=origin)
            target[key] = value

    def structure(self, kind: type[Tree]) -> Tree:
        """The table as a frozen tree. Raises RecipeError naming table, key, what was expected and who said it."""
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
            raise self._wrong(address, f"a list of {len(kinds)}", items)
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
