"""A source and a stage: the two words of a plan, checked where they are said.

A stage holds from its first position until the next one's: which sources, in which shares of the slots, in rows of
which T, in an order named by which seed, in batches of which rule; and which ranges of positions from then on are left
out. A stage is appended to a plan and never edited.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any, cast

import numpy as np

from batchwright.foundation.errors import InputError
from batchwright.sequences.batch_rule import BatchRule, batch_rule_from_dict
from batchwright.sequences.index import SequenceIndex
from batchwright.sequences.mixture import Mixture, Weight


@dataclass(frozen=True, kw_only=True, eq=False)
class Source:
    """A sequence index with a name and a weight in slots: a whole number relative to the others of its stage, or its
    share of 1 as a fraction. `epoch_cap` is the number of times its rows may be read (3/2: one and a half)."""

    name: str
    index: SequenceIndex
    weight: Weight = 1
    epoch_cap: Weight | None = None

    def __post_init__(self) -> None:
        if self.weight <= 0:
            raise InputError(f"source {self.name!r} has the weight {self.weight}", remedy="a number above 0")
        if self.epoch_cap is not None and self.epoch_cap <= 0:
            raise InputError(
                f"source {self.name!r} may be read {self.epoch_cap} times", remedy="an epoch cap above 0, or none"
            )
        if self.index.row_count < 1:
            raise InputError(
                f"source {self.name!r} has no row",
                where=str(self.index.directory),
                remedy="leave it out, or choose a split that holds documents",
            )

    @property
    def row_cap(self) -> int | None:
        """Rows that may be read, whole epochs and a part of one."""
        return None if self.epoch_cap is None else int(self.epoch_cap * self.index.row_count)

    def to_dict(self) -> dict[str, Any]:
        origin = self.index.origin
        return {
            "name": self.name,
            "weight": _weight_to_json(self.weight),
            "index": self.index.fingerprint,
            "rows": self.index.row_count,
            "store": origin["store"],
            "split": origin["split"],
            "packing": origin["packing"],
            "packing_seed": origin["seed"],
        } | ({} if self.epoch_cap is None else {"epoch_cap": _weight_to_json(self.epoch_cap)})


@dataclass(frozen=True, kw_only=True, eq=False)
class Stage:
    """From `first_position` on: rows of T slots from these sources, in the order that `seed` gives.

    `batch` is the rule of the global batch (None: that of the stage before, or what the loader is given), `skipped`
    are ranges [first, stop) of positions that nobody shall eat. Raises InputError (no source, two of one name, several
    sequence lengths, ids that mean different things, a range that begins before the stage).
    """

    first_position: int
    seed: int
    sources: tuple[Source, ...]
    batch: BatchRule | None = None
    skipped: tuple[tuple[int, int], ...] = field(default=())

    def __post_init__(self) -> None:
        if self.first_position < 0:
            raise InputError(f"a stage begins at position {self.first_position:,}", remedy="positions count from 0")
        if not self.sources:
            raise InputError("a stage with 0 sources", remedy="at least one")
        names = [source.name for source in self.sources]
        if len(set(names)) != len(names):
            raise InputError(
                f"two sources of a stage have the same name: {', '.join(names)}",
                remedy="a name of its own for each: it names the order of its rows",
            )
        lengths = {source.name: source.index.sequence_length for source in self.sources}
        if len(set(lengths.values())) > 1:
            raise InputError(
                f"the sources of a stage have different sequence lengths: {lengths}",
                remedy="build every index with the same T; another T is another stage",
            )
        refuse_other_ids(self.sources)
        assert self.mixture  # checks the weights
        for first, stop in self.skipped:
            if not self.first_position <= first < stop:
                raise InputError(
                    f"a stage from position {self.first_position:,} on skips [{first:,}, {stop:,})",
                    remedy="ranges that hold at least one position and begin where the stage does, or later",
                )

    @cached_property
    def mixture(self) -> Mixture:
        return Mixture(weights=tuple(source.weight for source in self.sources))

    @property
    def source(self) -> Source:
        """The only source. Raises InputError when there are several."""
        if len(self.sources) != 1:
            raise InputError(f"a stage with {len(self.sources)} sources has no single one", remedy="stage.sources")
        return self.sources[0]

    @property
    def sequence_length(self) -> int:
        """T."""
        return self.sources[0].index.sequence_length

    def to_dict(self) -> dict[str, Any]:
        value: dict[str, Any] = {
            "first_position": self.first_position,
            "seed": self.seed,
            "sequence_length": self.sequence_length,
            "sources": [source.to_dict() for source in self.sources],
        }
        if self.batch is not None:
            value["batch"] = self.batch.to_dict()
        if self.skipped:
            value["skipped"] = [list(span) for span in self.skipped]
        return value

    @classmethod
    def from_dict(cls, value: dict[str, Any], known: Mapping[str, SequenceIndex]) -> "Stage":
        """The stage that `to_dict` described; `known` are the indexes at hand, by fingerprint."""
        sources: list[Source] = []
        for source in value["sources"]:
            if source["index"] not in known:
                raise InputError(
                    f"the plan needs the sequence index {source['index']}, which is not among: "
                    f"{', '.join(known) or 'none'}",
                    remedy=f"build it: split {source['split']!r}, T = {value['sequence_length']}, {source['packing']}",
                )
            sources.append(
                Source(
                    name=source["name"],
                    index=known[source["index"]],
                    weight=weight_of(source["weight"]),
                    epoch_cap=None if source.get("epoch_cap") is None else weight_of(source["epoch_cap"]),
                )
            )
        batch = cast("dict[str, Any] | None", value.get("batch"))
        return cls(
            first_position=value["first_position"],
            seed=value["seed"],
            sources=tuple(sources),
            batch=None if batch is None else batch_rule_from_dict(batch),
            skipped=tuple((int(first), int(stop)) for first, stop in value.get("skipped", ())),
        )


def weight_of(value: int | float | str | Fraction) -> Weight:
    """A weight or epoch cap as people write it: 3, 0.7 (exactly seven tenths), "7/10"."""
    try:
        fraction = Fraction(str(value))
    except (ValueError, ZeroDivisionError) as error:
        raise InputError(
            f"{value!r} is not a weight", remedy='a number such as 3 or 0.7, or a fraction "7/10"'
        ) from error
    return int(fraction) if fraction.denominator == 1 else fraction


def _weight_to_json(weight: Weight) -> int | str:
    return int(weight) if Fraction(weight).denominator == 1 else str(weight)


def refuse_other_ids(sources: tuple[Source, ...]) -> None:
    """Raises InputError when an id would mean one thing in one source and another thing in the next."""
    first = sources[0].index.stored
    for source in sources[1:]:
        stored = source.index.stored
        pairs = {
            "tokenizer": (first.tokenizer, stored.tokenizer),
            "vocabulary size": (first.vocabulary_size, stored.vocabulary_size),
            "id of <endoftext>": (first.eot_id, stored.eot_id),
            "dtype": (str(_dtype(sources[0])), str(_dtype(source))),
        }
        differing = [f"{name} {a} and {b}" for name, (a, b) in pairs.items() if a != b]
        if differing:
            raise InputError(
                f"sources {sources[0].name!r} and {source.name!r} do not speak of the same ids: {'; '.join(differing)}",
                where=f"{first.directory} and {stored.directory}",
                remedy="prepare both stores with one tokenizer",
            )


def _dtype(source: Source) -> np.dtype[Any]:
    return source.index.stored.shards[0].tokens.dtype
