"""What the stages of a plan mean, as arithmetic: position ↔ (stream, ordinal), epoch → seed.

A *stream* is a source's name with one sequence index; its *ordinal* counts its rows through the whole run. What a new
stage does to them:

- a stream goes on where the earlier stages left it, so no row is repeated or left out within an epoch;
- the same name over another index (another T, another store) is another stream, which begins at ordinal 0; when a later
  stage comes back to the first index, that stream goes on too;
- a new seed orders a stream from its next epoch on: the epoch that has begun is finished in the order it began in
  (whoever wants a new order at once gives the source a new name, and reads its rows anew);
- equal names with equal weights keep the mixture's pattern going; other weights begin it anew, so that every
  stretch of equal weights holds |realised - asked| < 1 row per source at every prefix;
- a skipped position uses its ordinal up: the row is left out in that epoch, and counted.

Price: one bisection over the stages and one over a pattern, per question; tables of a few numbers per stage.
"""

from bisect import bisect_right
from dataclasses import dataclass

from batchwright.foundation.errors import InputError
from batchwright.sequences.batch_rule import BatchRule
from batchwright.sequences.index import SequenceIndex
from batchwright.sequences.mixture import Mixture
from batchwright.sequences.plan import Plan
from batchwright.sequences.skipped import Skipped
from batchwright.sequences.stage import Source, Stage


@dataclass(frozen=True, kw_only=True, eq=False)
class Stream:
    """The rows of one index under one name."""

    name: str
    index: SequenceIndex

    @property
    def row_count(self) -> int:
        return self.index.row_count


@dataclass(frozen=True, kw_only=True, eq=False)
class Stretch:
    """A stage from its first position to the next one's. `origin` is the position where its pattern began,
    `streams[i]` the stream of source i, and its ordinal at place p of the pattern is `offsets[i]` + (the mixture's)."""

    number: int
    stage: Stage
    first: int
    stop: int | None
    origin: int
    streams: tuple[int, ...]
    offsets: tuple[int, ...]
    batch: BatchRule | None

    @property
    def mixture(self) -> Mixture:
        return self.stage.mixture

    @property
    def sequence_length(self) -> int:
        """T."""
        return self.stage.sequence_length

    def ordinals_before(self, position: int) -> tuple[int, ...]:
        """The ordinal that each source comes to next, at a position of this stretch or its end."""
        place = position - self.origin
        return tuple(offset + self.mixture.count_before(i, place) for i, offset in enumerate(self.offsets))


class Timeline:
    """The stages of a plan laid out."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.skipped = Skipped(span for stage in plan.stages for span in stage.skipped)
        self.streams: tuple[Stream, ...] = ()
        self.stretches: tuple[Stretch, ...] = ()
        self._seeds: list[list[tuple[int, int]]] = []
        self._lay_out()
        self._firsts = [stretch.first for stretch in self.stretches]

    def _lay_out(self) -> None:
        numbers: dict[tuple[str, str], int] = {}
        streams: list[Stream] = []
        reached: list[int] = []
        batch: BatchRule | None = None
        for number, stage in enumerate(self.plan.stages):
            stop = self.plan.stages[number + 1].first_position if number + 1 < len(self.plan.stages) else None
            batch = stage.batch or batch
            if stop == stage.first_position:
                continue  # the next stage was appended at the same position: nothing is left of this one but its words
            for source in stage.sources:
                identity = source.name, source.index.fingerprint
                if identity not in numbers:
                    numbers[identity] = len(streams)
                    streams.append(Stream(name=source.name, index=source.index))
                    reached.append(0)
                    self._seeds.append([])
                self._seeds[numbers[identity]].append((reached[numbers[identity]], stage.seed))
            used = [numbers[source.name, source.index.fingerprint] for source in stage.sources]
            stretch = self._stretch(number, stage, stop, used, reached, batch)
            self.stretches += (stretch,)
            if stop is not None:
                for stream, ordinal in zip(stretch.streams, stretch.ordinals_before(stop), strict=True):
                    reached[stream] = ordinal
        self.streams = tuple(streams)

    def _stretch(
        self,
        number: int,
        stage: Stage,
        stop: int | None,
        streams: list[int],
        reached: list[int],
        batch: BatchRule | None,
    ) -> Stretch:
        before = self.stretches[-1] if self.stretches else None
        origin = before.origin if before is not None and _same_mixture(before.stage, stage) else stage.first_position
        place = stage.first_position - origin
        return Stretch(
            number=number,
            stage=stage,
            first=stage.first_position,
            stop=stop,
            origin=origin,
            streams=tuple(streams),
            offsets=tuple(reached[s] - stage.mixture.count_before(i, place) for i, s in enumerate(streams)),
            batch=batch,
        )

    def stretch_at(self, position: int) -> Stretch:
        """The stretch that a position lies in."""
        if position < 0:
            raise InputError(f"positions count from 0, not from {position:,}")
        return self.stretches[bisect_right(self._firsts, position) - 1]

    def ordinal_at(self, position: int) -> tuple[int, int]:
        """(stream, ordinal) of the row at a position."""
        stretch = self.stretch_at(position)
        source, ordinal = stretch.mixture.at(position - stretch.origin)
        return stretch.streams[source], stretch.offsets[source] + ordinal

    def position_of(self, stream: int, ordinal: int) -> int | None:
        """Where a stream's row stands: the inverse of `ordinal_at`; None when the plan never comes to it."""
        for stretch in self.stretches:
            if stream in stretch.streams:
                source = stretch.streams.index(stream)
                place = ordinal - stretch.offsets[source]
                if place >= 0:
                    position = stretch.origin + stretch.mixture.place_of(source, place)
                    if position >= stretch.first and (stretch.stop is None or position < stretch.stop):
                        return position
        return None

    def ordinals_before(self, position: int) -> tuple[int, ...]:
        """Rows of every stream at the positions below this one, skipped ones included."""
        out = [0] * len(self.streams)
        for stretch in self.stretches:
            if stretch.first < position:
                end = position if stretch.stop is None else min(position, stretch.stop)
                for stream, ordinal in zip(stretch.streams, stretch.ordinals_before(end), strict=True):
                    out[stream] = ordinal
        return tuple(out)

    def eaten_before(self, position: int) -> tuple[int, ...]:
        """Rows of every stream at the positions below this one that nobody skipped."""
        eaten = list(self.ordinals_before(position))
        for first, stop in self.skipped.ranges:
            if first < position:
                before, after = self.ordinals_before(first), self.ordinals_before(min(stop, position))
                eaten = [rows - (b - a) for rows, a, b in zip(eaten, before, after, strict=True)]
        return tuple(eaten)

    def seed_of(self, stream: int, epoch: int) -> int:
        """The seed that orders an epoch: that of the stage in which the epoch begins."""
        seeds = self._seeds[stream]
        begins = epoch * self.streams[stream].row_count
        return seeds[bisect_right(seeds, begins, key=lambda entry: entry[0]) - 1][1]

    def source_of(self, stretch: Stretch, stream: int) -> Source:
        """The words of a stage about a stream."""
        return stretch.stage.sources[stretch.streams.index(stream)]


def _same_mixture(before: Stage, after: Stage) -> bool:
    names = tuple(source.name for source in before.sources)
    return names == tuple(source.name for source in after.sources) and before.mixture.quotas == after.mixture.quotas
