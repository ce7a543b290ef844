"""The global batch size as a function of slots seen: what a stage says about its batches.

Guarantee: `size_at` is a pure function in whole numbers, constant between the thresholds that `next_change` names;
sizes need not divide anything. Price: a few integer operations. `batches.schedule` turns a rule into steps: a
threshold acts at the first step that starts at or after it.

    constant   ▁▁▁▁▁▁     steps  ▁▁▃▃▃▆▆     ramp  ▁▂▃▄▅▆▆▆ (linear; GPT-3's)     doubling  ▁▁▂▂▄▄▇▇

GPT-3 (arXiv 2005.14165, appendix B) went from 32 k tokens linearly to the full 0.5-3.2 M over the first 4-12 B
tokens: `RampedBatch(first=16, last=1562, over=12 * 10**9)` at T = 2,048. Whoever pays for launching, not for
sequences, doubles.
"""

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Protocol, cast

from batchwright.foundation.errors import InputError, nearest

LARGEST_BATCH = 2**40


class BatchRule(Protocol):
    """Slots seen → sequences per update."""

    def size_at(self, slots: int) -> int:
        """The global batch of a step that begins when so many slots have been seen."""
        ...

    def next_change(self, slots: int) -> int | None:
        """The first threshold above `slots`; None when the size stays as it is for ever."""
        ...

    def to_dict(self) -> dict[str, Any]: ...


@dataclass(frozen=True, kw_only=True)
class ConstantBatch:
    """The same size always."""

    size: int

    def __post_init__(self) -> None:
        _check_sizes(size=self.size)

    def size_at(self, slots: int) -> int:
        return self.size

    def next_change(self, slots: int) -> int | None:
        return None

    def to_dict(self) -> dict[str, Any]:
        return {"rule": "constant", **asdict(self)}


@dataclass(frozen=True, kw_only=True)
class SteppedBatch:
    """`pieces` = ((0, size), (slots, size) …): from each threshold on its size, up or down."""

    pieces: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        for _, size in self.pieces:
            _check_sizes(size=size)
        thresholds = [slots for slots, _ in self.pieces]
        if not thresholds or thresholds[0] != 0 or any(a >= b for a, b in pairwise(thresholds)):
            raise InputError(
                f"the thresholds of a stepped batch are {thresholds}", remedy="slots that rise, the first of them 0"
            )

    def size_at(self, slots: int) -> int:
        return next(size for threshold, size in reversed(self.pieces) if threshold <= slots)

    def next_change(self, slots: int) -> int | None:
        return next((threshold for threshold, _ in self.pieces if threshold > slots), None)

    def to_dict(self) -> dict[str, Any]:
        return {"rule": "steps", "pieces": [list(piece) for piece in self.pieces]}


@dataclass(frozen=True, kw_only=True)
class RampedBatch:
    """Linear from `first` to `last` over the first `over` slots, in rises of `multiple` sequences."""

    first: int
    last: int
    over: int
    multiple: int = 1

    def __post_init__(self) -> None:
        _check_sizes(first=self.first, last=self.last, multiple=self.multiple)
        _check_rise(self.first, self.last, "over", self.over)

    def size_at(self, slots: int) -> int:
        if slots >= self.over:
            return self.last
        return self.first + (self.last - self.first) * slots // self.over // self.multiple * self.multiple

    def next_change(self, slots: int) -> int | None:
        if slots >= self.over or self.first == self.last:
            return None
        rises = (self.last - self.first) * slots // self.over // self.multiple + 1
        return min(self.over, -(-rises * self.multiple * self.over // (self.last - self.first)))

    def to_dict(self) -> dict[str, Any]:
        return {"rule": "ramp", **asdict(self)}


@dataclass(frozen=True, kw_only=True)
class DoublingBatch:
    """`first`, twice that after every `every` slots, up to `last` (which need not be one of the doublings)."""

    first: int
    last: int
    every: int

    def __post_init__(self) -> None:
        _check_sizes(first=self.first, last=self.last)
        _check_rise(self.first, self.last, "every", self.every)

    def size_at(self, slots: int) -> int:
        return min(self.last, self.first << min(slots // self.every, LARGEST_BATCH.bit_length()))

    def next_change(self, slots: int) -> int | None:
        return None if self.size_at(slots) == self.last else (slots // self.every + 1) * self.every

    def to_dict(self) -> dict[str, Any]:
        return {"rule": "doubling", **asdict(self)}


_RULES: dict[str, type[ConstantBatch] | type[SteppedBatch] | type[RampedBatch] | type[DoublingBatch]] = {
    "constant": ConstantBatch,
    "steps": SteppedBatch,
    "ramp": RampedBatch,
    "doubling": DoublingBatch,
}


def batch_rule_from_dict(value: dict[str, Any]) -> BatchRule:
    """The rule that `to_dict` described. Raises InputError for an unknown one."""
    fields = dict(value)
    name = fields.pop("rule", None)
    kind = _RULES.get(str(name))
    if kind is None:
        meant = nearest(str(name), _RULES)
        raise InputError(
            f"there is no batch rule {name!r}; there are {', '.join(_RULES)}",
            remedy=None if meant is None else f"rule = {meant!r}",
        )
    if kind is SteppedBatch and "pieces" in fields:
        fields["pieces"] = tuple((int(slots), int(size)) for slots, size in cast("list[list[int]]", fields["pieces"]))
    try:
        return kind(**fields)
    except TypeError as error:
        raise InputError(f"the batch rule {name!r} cannot be read: {error}") from error


def steps_within(rule: BatchRule, *, sequence_length: int, slots: int) -> tuple[int, int]:
    """(steps, slots they take) of a budget of slots under one rule at one T, the last step whole: what a
    `batches.schedule` of a plan with one stage counts, without the plan."""
    steps, seen = 0, 0
    while seen < slots:
        per_step = rule.size_at(seen) * sequence_length
        change = rule.next_change(seen)
        count = -(-((slots if change is None else min(slots, change)) - seen) // per_step)
        steps, seen = steps + count, seen + count * per_step
    return steps, seen


def _check_sizes(**sizes: int) -> None:
    for name, size in sizes.items():
        if not 1 <= size <= LARGEST_BATCH:
            raise InputError(f"{name} of a batch rule is {size:,} sequences", remedy="a whole number from 1")


def _check_rise(first: int, last: int, name: str, slots: int) -> None:
    if last < first:
        raise InputError(
            f"a batch that grows from {first:,} to {last:,} sequences", remedy="last ≥ first; `SteppedBatch` also falls"
        )
    if slots < 1:
        raise InputError(f"{name} is {slots:,} slots", remedy="a whole number from 1")
