"""The plan: everything that determines the endless stream of sequences, named by its hash.

A plan is a list of *stages*; a stage begins at a position and is appended, never edited. Together with a position this
is the whole state of the data.

    plan = Plan.of(index)                                       one source for ever
    plan = Plan.mix([Source(name="web", index=web, weight=7), Source(name="code", index=code, weight=3)])
    later = plan.append(Stage(first_position=…, seed=…, sources=…))     other weights, T, seed, batch rule, a new source
    later = plan.skip(40_000, 41_000, at=40_000)                        what made the loss jump is not eaten again

Guarantee: positions before an appended stage mean what they meant (`prefix_hashes` names every plan that this one goes
on from, so a checkpoint of any of them is recognised). What a new stage does to its sources: see `timeline`. Price: a
few hundred bytes of JSON per source and stage; no row order is ever stored.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, cast

from batchwright.foundation.errors import InputError
from batchwright.foundation.fingerprint import fingerprint
from batchwright.sequences.batch_rule import BatchRule
from batchwright.sequences.index import SequenceIndex
from batchwright.sequences.stage import Source, Stage, refuse_other_ids

FORMAT = "batchwright-plan"
VERSION = 1


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """The stages, in order of their first positions."""

    stages: tuple[Stage, ...]

    def __post_init__(self) -> None:
        if not self.stages:
            raise InputError("a plan with 0 stages", remedy="at least one, from position 0 on")
        if self.stages[0].first_position != 0:
            raise InputError(
                f"the first stage begins at position {self.stages[0].first_position:,}", remedy="position 0"
            )
        for before, after in zip(self.stages, self.stages[1:], strict=False):
            if after.first_position < before.first_position:
                raise InputError(
                    f"a stage from position {after.first_position:,} on follows one from "
                    f"{before.first_position:,} on: it would change the past",
                    remedy=f"begin it at position {before.first_position:,} or later",
                )
        refuse_other_ids(tuple(source for stage in self.stages for source in stage.sources))

    @classmethod
    def of(cls, index: SequenceIndex, *, seed: int = 0, name: str = "text") -> "Plan":
        """One index from position 0 on, its rows shuffled anew every epoch."""
        return cls.mix([Source(name=name, index=index)], seed=seed)

    @classmethod
    def mix(cls, sources: Sequence[Source], *, seed: int = 0, batch: BatchRule | None = None) -> "Plan":
        """These sources from position 0 on."""
        return cls(stages=(Stage(first_position=0, seed=seed, sources=tuple(sources), batch=batch),))

    def append(self, stage: Stage) -> "Plan":
        """This plan, and from the stage's first position on what it says. Raises InputError (it begins before the last
        one)."""
        return Plan(stages=(*self.stages, stage))

    def skip(self, first: int, stop: int, *, at: int | None = None) -> "Plan":
        """This plan without positions [first, stop), decided at position `at` (default: `first`)."""
        begin = first if at is None else at
        return self.append(replace(self.stages[-1], first_position=begin, batch=None, skipped=((first, stop),)))

    @property
    def hash(self) -> str:
        """32 hexadecimal digits: equal hash, equal stream."""
        return self.prefix_hashes[-1]

    @cached_property
    def prefix_hashes(self) -> tuple[str, ...]:
        """The hash of the first stage alone, of the first two, … of all."""
        stages = [stage.to_dict() for stage in self.stages]
        return tuple(fingerprint(_document(stages[:count])) for count in range(1, len(stages) + 1))

    @property
    def stage(self) -> Stage:
        """The only stage. Raises InputError when there are several."""
        if len(self.stages) != 1:
            raise InputError(f"a plan with {len(self.stages)} stages has no single one", remedy="plan.stages")
        return self.stages[0]

    @property
    def index(self) -> SequenceIndex:
        """The only index. Raises InputError when there are several."""
        indexes = self.indexes
        if len(indexes) != 1:
            raise InputError(f"a plan over {len(indexes)} sequence indexes has no single one", remedy="plan.indexes")
        return indexes[0]

    @cached_property
    def indexes(self) -> tuple[SequenceIndex, ...]:
        """Every index of every stage, once, in order of appearance."""
        found = {source.index.fingerprint: source.index for stage in self.stages for source in stage.sources}
        return tuple(found.values())

    @property
    def sequence_length(self) -> int:
        """T. Raises InputError when it changes from stage to stage."""
        lengths = sorted({stage.sequence_length for stage in self.stages})
        if len(lengths) != 1:
            raise InputError(f"the sequence length of this plan changes: {lengths}", remedy="stage.sequence_length")
        return lengths[0]

    def to_dict(self) -> dict[str, Any]:
        """The plan as JSON; with the indexes at hand, `from_dict` reads it back."""
        return _document([stage.to_dict() for stage in self.stages])

    @classmethod
    def from_dict(cls, value: dict[str, Any], indexes: Iterable[SequenceIndex]) -> "Plan":
        """The plan that `to_dict` described. Raises InputError when an index it names is not among those given."""
        if value.get("format") != FORMAT or value.get("version") != VERSION:
            raise InputError(f"this is not a {FORMAT} of version {VERSION}")
        known = {index.fingerprint: index for index in indexes}
        try:
            stages = cast("list[dict[str, Any]]", value["stages"])
            plan = cls(stages=tuple(Stage.from_dict(stage, known) for stage in stages))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"the plan lacks or garbles {error}") from error
        differences = list(differing(value, plan.to_dict()))
        if differences:
            raise InputError("the plan was made for other data", where="; ".join(differences))
        return plan


def _document(stages: list[dict[str, Any]]) -> dict[str, Any]:
    return {"format": FORMAT, "version": VERSION, "stages": stages}


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
