"""What a plan means, said a second time and naively: fractions, lists and loops, no table and no compiled code.

Everything the laws of plans compare against: which rows stand where, which positions a step takes, what lies in a row
and what it is certified as.
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import count, pairwise

import numpy as np
import xxhash

from batchwright.foundation.permutation import KeyedPermutation
from batchwright.foundation.randomness import key
from batchwright.sequences.batch_rule import BatchRule, ConstantBatch, DoublingBatch, RampedBatch, SteppedBatch
from batchwright.sequences.index import SequenceIndex
from batchwright.sequences.plan import Plan
from batchwright.sequences.stage import Stage


@cache
def pattern(weights: tuple[Fraction, ...]) -> list[int]:
    """Sources of one period: at every place the most urgent of those that would not be a whole row ahead."""
    total = sum(weights)
    shares = [weight / total for weight in weights]
    period = math.lcm(*(share.denominator for share in shares))
    counts, out = [0] * len(shares), list[int]()
    for place in range(period):
        free = [i for i, share in enumerate(shares) if counts[i] + 1 < share * (place + 1) + 1]
        chosen = min(free, key=lambda i: (math.ceil((counts[i] + 1) / shares[i]), i))
        counts[chosen] += 1
        out.append(chosen)
    return out


def count_before(places: list[int], source: int, place: int) -> int:
    return place // len(places) * places.count(source) + places[: place % len(places)].count(source)


def size_of(rule: BatchRule, slots: int) -> int:
    """A rule's size, from its words."""
    match rule:
        case ConstantBatch(size=size):
            return size
        case SteppedBatch(pieces=pieces):
            return [size for threshold, size in pieces if threshold <= slots][-1]
        case RampedBatch(first=first, last=last, over=over, multiple=multiple):
            grown = Fraction((last - first) * slots, over)
            return last if slots >= over else first + multiple * math.floor(grown / multiple)
        case DoublingBatch(first=first, last=last, every=every):
            size = first
            for _ in range(min(slots // every, 64)):
                size = min(last, size * 2)
            return size
        case _:
            raise TypeError(rule)


@dataclass(frozen=True)
class Place:
    """The row at one position."""

    position: int
    name: str
    index: SequenceIndex
    row: int
    epoch: int

    def content(self) -> bytes:
        """Ids, mask and position ids as `streams.eaten` gives them."""
        inputs, targets, mask, positions = self._parts()
        return b"".join(part.tobytes() for part in (inputs, targets, mask, positions))

    def certificate(self) -> int:
        inputs, targets, mask, _ = self._parts()
        record = np.int64(self.position).tobytes() + inputs.astype("<u4").tobytes()
        return xxhash.xxh3_64_intdigest(record + targets.astype("<u4").tobytes() + mask.tobytes())

    def _parts(self) -> tuple[np.ndarray, ...]:
        slots, stored = self.index.sequence_length, self.index.stored
        inputs, targets = np.full((2, slots), stored.eot_id, np.int64)
        mask, positions = np.zeros(slots, np.bool_), np.zeros(slots, np.int32)
        tokens = np.concatenate([shard.tokens.array for shard in stored.shards])
        at = 0
        for start, length in zip(*(part.tolist() for part in self.index.segments_of(self.row)), strict=True):
            inputs[at : at + length] = tokens[start - 1 : start + length - 1]
            targets[at : at + length] = tokens[start : start + length]
            mask[at : at + length], positions[at : at + length] = True, range(length)
            at += length
        positions[at:] = range(slots - at)
        return inputs, targets, mask, positions


class Reference:
    """A plan in the naive reading."""

    def __init__(self, plan: Plan, rule: BatchRule | None = None) -> None:
        firsts = [stage.first_position for stage in plan.stages]
        self.skipped = [span for stage in plan.stages for span in stage.skipped]
        lengths = [stage.sequence_length for stage in plan.stages]
        self.walls = [first for first, a, b in zip(firsts[1:], lengths, lengths[1:], strict=False) if a != b]
        self.stages: list[tuple[Stage, int, float, int, BatchRule]] = []  # stage, first, stop, origin, rule
        for stage, first, stop in zip(plan.stages, firsts, [*firsts[1:], math.inf], strict=True):
            rule = stage.batch or rule
            if first < stop:
                assert rule is not None
                before = self.stages[-1] if self.stages else None
                same = before is not None and self._mixture(before[0]) == self._mixture(stage)
                self.stages.append((stage, first, stop, before[3] if before and same else first, rule))

    @staticmethod
    def _mixture(stage: Stage) -> tuple[list[str], tuple[int, ...]]:
        return [source.name for source in stage.sources], tuple(pattern(_weights(stage)))

    def _stage(self, position: int) -> tuple[Stage, int, float, int, BatchRule]:
        return [entry for entry in self.stages if entry[1] <= position][-1]

    def is_skipped(self, position: int) -> bool:
        return any(first <= position < stop for first, stop in self.skipped)

    def read_before(self, name: str, index: SequenceIndex, position: float) -> tuple[int, list[tuple[int, int]]]:
        """(rows of a stream at positions below, [(its ordinal where a stage begins, the stage's seed)])."""
        total, seeds = 0, list[tuple[int, int]]()
        for stage, first, stop, origin, _ in self.stages:
            for i, source in enumerate(stage.sources):
                if source.name == name and source.index is index and first < position:
                    seeds.append((total, stage.seed))
                    places, end = pattern(_weights(stage)), int(min(stop, position))
                    total += count_before(places, i, end - origin) - count_before(places, i, first - origin)
        return total, seeds

    def place(self, position: int) -> Place:
        stage, _, _, origin, _ = self._stage(position)
        places = pattern(_weights(stage))
        source = stage.sources[places[(position - origin) % len(places)]]
        ordinal, seeds = self.read_before(source.name, source.index, position)
        if not seeds or self._stage(position)[1] == position:  # the stage in which this position is the first
            seeds = [*seeds, (ordinal, stage.seed)]
        rows = source.index.row_count
        epoch, k = divmod(ordinal, rows)
        seed = [seed for first, seed in seeds if first <= epoch * rows][-1]
        row = KeyedPermutation(size=rows, key=key(seed, "row-order", source.name, epoch)).forward(k)
        return Place(position, source.name, source.index, row, epoch)

    def slots_before(self, position: int) -> int:
        """Slots eaten below a position."""
        edges = sorted({0, position, *[e for span in self.skipped for e in span], *[e[1] for e in self.stages]})
        total = 0
        for first, stop in pairwise(edges):
            if stop <= position and not self.is_skipped(first):
                total += (stop - first) * self._stage(first)[0].sequence_length
        return total

    def step(self, position: int) -> list[int]:
        """The positions of the step that begins at a position or at the first one after it that is not skipped."""
        taken: list[int] = []
        for here in count(position):
            if self.is_skipped(here):
                continue
            if not taken:
                size = size_of(self._stage(here)[4], self.slots_before(here))
            elif len(taken) == size or any(taken[-1] < wall <= here for wall in self.walls):
                return taken
            taken.append(here)
        raise AssertionError


def _weights(stage: Stage) -> tuple[Fraction, ...]:
    return tuple(Fraction(source.weight) for source in stage.sources)
