"""What a plan gives every source: rows, epochs and shares, and where an epoch cap ends it. Known before the run starts.

Guarantee: exact, for any range of positions, skipped ones counted apart; nothing is drawn and no index is read. Price:
microseconds per stage and source.
"""

from dataclasses import dataclass
from fractions import Fraction

from batchwright.sequences.timeline import Stretch, Timeline


@dataclass(frozen=True, kw_only=True)
class SourceShare:
    """A source over a range of positions: `rows` are eaten, `skipped_rows` left out by skipped ranges; `asked` of the
    rows is what its weights say. `epochs` counts from the beginning of the run to the end of the range."""

    name: str
    sequence_length: int
    rows: int
    skipped_rows: int
    asked: Fraction
    realised: Fraction
    epochs: Fraction


@dataclass(frozen=True, kw_only=True)
class Exhaustion:
    """The first position that would read a source more often than its cap allows."""

    name: str
    position: int
    epoch_cap: Fraction
    rows_allowed: int


def shares(timeline: Timeline, stop: int, first: int = 0) -> tuple[SourceShare, ...]:
    """The sources of a plan over the positions [first, stop)."""
    skipped = timeline.skipped
    before, after = timeline.ordinals_before(first), timeline.ordinals_before(stop)
    lost = [0] * len(timeline.streams)
    for begin, end in skipped.ranges:
        begin, end = max(begin, first), min(end, stop)
        if begin < end:
            low, high = timeline.ordinals_before(begin), timeline.ordinals_before(end)
            lost = [n + b - a for n, a, b in zip(lost, low, high, strict=True)]
    asked = [Fraction(0)] * len(timeline.streams)
    for stretch in timeline.stretches:
        begin, end = max(stretch.first, first), stop if stretch.stop is None else min(stretch.stop, stop)
        if begin < end:
            eaten = skipped.eaten_before(end) - skipped.eaten_before(begin)
            for stream, share in zip(stretch.streams, stretch.mixture.shares, strict=True):
                asked[stream] += share * eaten
    total = skipped.eaten_before(stop) - skipped.eaten_before(first)
    return tuple(
        SourceShare(
            name=stream.name,
            sequence_length=stream.index.sequence_length,
            rows=after[s] - before[s] - lost[s],
            skipped_rows=lost[s],
            asked=asked[s] / total if total else Fraction(0),
            realised=Fraction(after[s] - before[s] - lost[s], total) if total else Fraction(0),
            epochs=Fraction(after[s], stream.row_count),
        )
        for s, stream in enumerate(timeline.streams)
    )


def exhaustions(timeline: Timeline) -> tuple[Exhaustion, ...]:
    """Where every capped source ends, the earliest first; sources that the plan leaves before are not among them."""
    found: list[Exhaustion] = []
    for stretch in timeline.stretches:
        for source, words in enumerate(stretch.stage.sources):
            if words.row_cap is None or words.epoch_cap is None:
                continue
            position = _first_beyond(timeline, stretch, source, words.row_cap)
            if position is not None:
                found.append(
                    Exhaustion(
                        name=words.name,
                        position=position,
                        epoch_cap=Fraction(words.epoch_cap),
                        rows_allowed=words.row_cap,
                    )
                )
    return tuple(sorted(found, key=lambda exhaustion: exhaustion.position))


def _first_beyond(timeline: Timeline, stretch: Stretch, source: int, cap: int) -> int | None:
    """The first eaten position of a stretch whose row of a source has an ordinal ≥ cap."""
    mixture, offset, ordinal = stretch.mixture, stretch.offsets[source], cap
    ordinal = max(ordinal, stretch.ordinals_before(stretch.first)[source])
    while True:
        position = stretch.origin + mixture.place_of(source, ordinal - offset)
        if stretch.stop is not None and position >= stretch.stop:
            return None
        if position not in timeline.skipped:
            return position
        after = timeline.skipped.position_at(timeline.skipped.eaten_before(position))
        ordinal = offset + mixture.count_before(source, after - stretch.origin)
