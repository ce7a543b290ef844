"""The plan: everything that determines the endless stream of sequences, named by its hash.

A plan is a list of *stages*; a stage begins at a position and is appended, never edited. A stage names its sources (an
index each), and the seed of the row order. Together with a position this is the whole state of the data. Price: a few
hundred bytes of JSON; no row order is ever stored.

This version reads plans of one stage with one source; the form on disk is the general one.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from batchwright.foundation.errors import InputError
from batchwright.foundation.fingerprint import fingerprint
from batchwright.sequences.index import SequenceIndex

FORMAT = "batchwright-plan"
VERSION = 1


@dataclass(frozen=True, kw_only=True, eq=False)
class Source:
    """A sequence index with a name and a weight (in slots, relative to the other sources of its stage)."""

    name: str
    index: SequenceIndex
    weight: int = 1

    def __post_init__(self) -> None:
        if self.weight < 1:
            raise InputError(f"source {self.name!r} has the weight {self.weight}", remedy="a whole number from 1")

    def to_dict(self) -> dict[str, Any]:
        origin = self.index.origin
        return {
            "name": self.name,
            "weight": self.weight,
            "index": self.index.fingerprint,
            "rows": self.index.row_count,
            "store": origin["store"],
            "split": origin["split"],
            "packing": origin["packing"],
            "packing_seed": origin["seed"],
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class Stage:
    """From `first_position` on: rows of T slots from these sources, in the order that `seed` gives."""

    first_position: int
    seed: int
    sources: tuple[Source, ...]

    def __post_init__(self) -> None:
        if len(self.sources) != 1:
            raise InputError(
                f"a stage with {len(self.sources)} sources", remedy="this version reads exactly one source"
            )
        if self.first_position != 0:
            raise InputError(f"the first stage begins at position {self.first_position:,}", remedy="position 0")

    @property
    def source(self) -> Source:
        return self.sources[0]

    @property
    def sequence_length(self) -> int:
        """T."""
        return self.source.index.sequence_length

    def to_dict(self) -> dict[str, Any]:
        return {
            "first_position": self.first_position,
            "seed": self.seed,
            "sequence_length": self.sequence_length,
            "sources": [source.to_dict() for source in self.sources],
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """The stages, in order of their first positions."""

    stages: tuple[Stage, ...]

    def __post_init__(self) -> None:
        if len(self.stages) != 1:
            raise InputError(f"a plan with {len(self.stages)} stages", remedy="this version reads exactly one stage")

    @classmethod
    def of(cls, index: SequenceIndex, *, seed: int = 0, name: str = "text") -> "Plan":
        """One index from position 0 on, its rows shuffled anew every epoch."""
        return cls(stages=(Stage(first_position=0, seed=seed, sources=(Source(name=name, index=index),)),))

    @cached_property
    def hash(self) -> str:
        """32 hexadecimal digits: equal hash, equal stream."""
        return fingerprint(self.to_dict())

    @property
    def stage(self) -> Stage:
        return self.stages[0]

    @property
    def index(self) -> SequenceIndex:
        return self.stage.source.index

    @property
    def sequence_length(self) -> int:
        """T."""
        return self.stage.sequence_length

    def to_dict(self) -> dict[str, Any]:
        """The plan as JSON; with the indexes at hand, `from_dict` reads it back."""
        return {"format": FORMAT, "version": VERSION, "stages": [stage.to_dict() for stage in self.stages]}

    @classmethod
    def from_dict(cls, value: dict[str, Any], indexes: Iterable[SequenceIndex]) -> "Plan":
        """The plan that `to_dict` described. Raises InputError when an index it names is not among those given."""
        if value.get("format") != FORMAT or value.get("version") != VERSION:
            raise InputError(f"this is not a {FORMAT} of version {VERSION}")
        known = {index.fingerprint: index for index in indexes}
        stages = cast("list[dict[str, Any]]", value["stages"])
        plan = cls(stages=tuple(_stage(stage, known) for stage in stages))
        differences = list(differing(value, plan.to_dict()))
        if differences:
            raise InputError("the plan was made for other data", where="; ".join(differences))
        return plan


def _stage(value: dict[str, Any], known: dict[str, SequenceIndex]) -> Stage:
    sources: list[Source] = []
    for source in value["sources"]:
        if source["index"] not in known:
            raise InputError(
                f"the plan needs the sequence index {source['index']}, which is not among: "
                f"{', '.join(known) or 'none'}",
                remedy=f"build it: split {source['split']!r}, T = {value['sequence_length']}, {source['packing']}",
            )
        sources.append(Source(name=source["name"], index=known[source["index"]], weight=source["weight"]))
    return Stage(first_position=value["first_position"], seed=value["seed"], sources=tuple(sources))


def differing(theirs: Any, ours: Any, path: str = "") -> Iterable[str]:
    """Where two JSON values differ, in words: "stages[0].seed: 1 there, 2 here"."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        left, right = cast("dict[str, Any]", theirs), cast("dict[str, Any]", ours)
        for name in sorted(left.keys() | right.keys()):
            yield from differing(left.get(name), right.get(name), f"{path}.{name}" if path else name)
    elif (
        isinstance(theirs, list)
        and isinstance(ours, list)
        and len(cast("list[Any]", theirs)) == len(cast("list[Any]", ours))
    ):
        for number, (left, right) in enumerate(zip(cast("list[Any]", theirs), cast("list[Any]", ours), strict=True)):
            yield from differing(left, right, f"{path}[{number}]")
    elif theirs != ours:
        yield f"{path}: {theirs!r} there, {ours!r} here"
