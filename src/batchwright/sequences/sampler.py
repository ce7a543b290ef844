"""Position → row. The endless global order of sequences as a pure function; nothing is stored, nothing is drawn.

The plan's timeline gives the stream and its ordinal; epoch e of a stream is all its rows in the order of the keyed
bijection named (seed, "row-order", source, e), so ordinal o is row π_e(k) with (e, k) = divmod(o, rows). A step may
begin in one epoch and end in the next: every epoch is still complete. Price: ~20 ns per position at any size and with
any number of sources, and the same back from a row to its position.

    one source, 3 rows:  position 0 1 2 | 3 4 5 | 6 …     run length, world size and batch size do not occur in the
                         row      2 0 1 | 1 2 0 | 0 …     formula
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from batchwright.foundation.compiled import hot_loop
from batchwright.foundation.errors import InputError
from batchwright.foundation.permutation import ROUNDS, KeyedPermutation, permute_one
from batchwright.foundation.randomness import key
from batchwright.sequences.plan import Plan
from batchwright.sequences.timeline import Stretch, Timeline

_EPOCHS_AHEAD = 4
_MOST_EPOCHS = 1024
LARGEST_POSITION = 2**62


POSITION, STREAM, ROW, EPOCH = 0, 1, 2, 3  # columns of `PlacedRows.table`


@dataclass(frozen=True, slots=True, eq=False)
class PlacedRows:
    """Rows of a plan. `table` (N, 4) int64: the position in the global order, the stream (a number into
    `Timeline.streams`), the row of that stream's index, and the epoch."""

    table: NDArray[np.int64]

    @property
    def positions(self) -> NDArray[np.int64]:
        return self.table[:, POSITION]

    @property
    def streams(self) -> NDArray[np.int64]:
        return self.table[:, STREAM]

    @property
    def rows(self) -> NDArray[np.int64]:
        return self.table[:, ROW]

    @property
    def epochs(self) -> NDArray[np.int64]:
        return self.table[:, EPOCH]

    def __len__(self) -> int:
        return self.table.shape[0]

    def pairs(self) -> list[tuple[int, int]]:
        """(stream, row) of each."""
        return list(zip(self.streams.tolist(), self.rows.tolist(), strict=True))

    def part(self, chosen: slice | NDArray[np.int64]) -> "PlacedRows":
        """Some of them."""
        return PlacedRows(self.table[chosen])


class _Orders(NamedTuple):
    """Round keys of the epochs at hand: stream s has those of epochs [first, first + count) in `keys[at:]`."""

    windows: NDArray[np.int64]  # (streams, 3): first epoch, count, at
    keys: NDArray[np.uint64]  # (N, ROUNDS)


@hot_loop
def _place(
    first_position: int,
    first_place: int,
    places: NDArray[np.int32],
    sources: NDArray[np.int64],
    windows: NDArray[np.int64],
    keys: NDArray[np.uint64],
    out: NDArray[np.int64],
    begin: int,
    stop: int,
) -> int:
    """Lines begin … stop-1 of `out`, the first at `first_position` and `first_place` of the pattern. Returns the line
    whose epoch's keys are missing, its stream and epoch left there; else `stop`. `sources[s]` = (stream, offset,
    quota, rows, right bits, left bits)."""
    period = places.shape[0]
    for i in range(begin, stop):
        place = first_place + (i - begin)
        periods = place // period
        r = place - periods * period
        s = places[r, 0]
        ordinal = sources[s, 1] + periods * sources[s, 2] + places[r, 1]
        stream, rows = sources[s, 0], sources[s, 3]
        epoch = ordinal // rows
        out[i, POSITION] = first_position + (i - begin)
        out[i, STREAM] = stream
        out[i, EPOCH] = epoch
        known = epoch - windows[stream, 0]
        if known < 0 or known >= windows[stream, 1]:
            return i
        out[i, ROW] = permute_one(
            ordinal - epoch * rows, rows, sources[s, 4], sources[s, 5], keys[windows[stream, 2] + known]
        )
    return stop


class Sampler:
    """The order of one plan. Safe to ask from several threads."""

    def __init__(self, plan: Plan, timeline: Timeline | None = None) -> None:
        self.plan = plan
        self.timeline = Timeline(plan) if timeline is None else timeline
        self._tables = {stretch.number: self._table(stretch) for stretch in self.timeline.stretches}
        streams = len(self.timeline.streams)
        self._orders = _Orders(np.zeros((streams, 3), np.int64), np.empty((0, ROUNDS), np.uint64))

    def place(self, spans: list[tuple[int, int]]) -> PlacedRows:
        """The rows at these spans (first position, count), one after another."""
        if any(first + count > LARGEST_POSITION for first, count in spans):
            raise InputError(
                f"position {max(first + count for first, count in spans):,} lies beyond the last one, 2⁶²",
                remedy="a smaller step or position",
            )
        out = np.empty((sum(count for _, count in spans), 4), np.int64)
        done = 0
        for first, count in spans:
            end = first + count
            while first < end:
                stretch = self.timeline.stretch_at(first)
                taken = (end if stretch.stop is None else min(end, stretch.stop)) - first
                self._place(stretch, first, out, done, taken)
                done, first = done + taken, first + taken
        return PlacedRows(out)

    def rows_at(self, first_position: int, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(rows, epochs), each (count,) int64, of the positions from `first_position` on, skipped ones included."""
        if first_position < 0 or count < 0:
            raise InputError(f"positions count from 0, not from {first_position:,} (count {count:,})")
        placed = self.place([(first_position, count)])
        return placed.rows, placed.epochs

    def position_of(self, row: int, epoch: int, *, stream: int = 0) -> int:
        """Where a row stands in an epoch of a stream: the inverse of `rows_at`. Raises InputError when there is no
        such row, or when the plan never comes to it."""
        found = self.timeline.streams[stream]
        if not 0 <= row < found.row_count or epoch < 0:
            raise InputError(f"row {row:,} of epoch {epoch:,} does not exist; an epoch has {found.row_count:,} rows")
        ordinal = epoch * found.row_count + self.order(stream, epoch).inverse(row)
        position = self.timeline.position_of(stream, ordinal)
        if position is None:
            raise InputError(
                f"the plan never comes to row {row:,} of epoch {epoch:,} of source {found.name!r}: a later stage "
                "leaves the source out before"
            )
        return position

    def order(self, stream: int, epoch: int) -> KeyedPermutation:
        """The order of a stream's rows in one epoch."""
        found = self.timeline.streams[stream]
        seed = self.timeline.seed_of(stream, epoch)
        return KeyedPermutation(size=found.row_count, key=key(seed, "row-order", found.name, epoch))

    def _table(self, stretch: Stretch) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """(places of the pattern, what `_place` knows of every source)."""
        sources = np.empty((len(stretch.streams), 6), np.int64)
        for i, (stream, offset) in enumerate(zip(stretch.streams, stretch.offsets, strict=True)):
            rows = self.timeline.streams[stream].row_count
            shape = KeyedPermutation(size=rows, key=0)
            sources[i] = stream, offset, stretch.mixture.quotas[i], rows, shape.right_bits, shape.left_bits
        return stretch.mixture.pattern.places, sources

    def _place(self, stretch: Stretch, first: int, out: NDArray[np.int64], done: int, count: int) -> None:
        places, sources = self._tables[stretch.number]
        origin, stop, begin = stretch.origin - first, done + count, done
        while True:
            orders = self._orders  # one reference: another thread may exchange it
            at = begin - done
            begin = _place(first + at, at - origin, places, sources, orders.windows, orders.keys, out, begin, stop)
            if begin == stop:
                return
            self._know(int(out[begin, STREAM]), int(out[begin, EPOCH]), stop - begin)

    def _know(self, stream: int, epoch: int, count: int) -> None:
        """Have the keys of an epoch at hand, and of some after it."""
        orders = self._orders
        rows = self.timeline.streams[stream].row_count
        ahead = min(_MOST_EPOCHS, _EPOCHS_AHEAD + count // rows)
        parts: list[NDArray[np.uint64]] = []
        windows = orders.windows.copy()
        for s in range(windows.shape[0]):
            _, kept, at = windows[s].tolist()
            if s == stream:
                windows[s] = epoch, ahead, sum(map(len, parts))
                parts.append(np.stack([self.order(s, e).round_keys for e in range(epoch, epoch + ahead)]))
            else:
                windows[s, 2] = sum(map(len, parts))
                parts.append(orders.keys[at : at + kept])
        self._orders = _Orders(windows, np.concatenate(parts))
