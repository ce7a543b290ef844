"""The batch identity: how the sequences of one update are cut into ranks and micro-batches. Its only home.

    global batch = Σ over ranks (rows of the rank) = micro-batch × accumulation × ranks - filler
    tokens per step = global batch × T   (slots; targets are counted from the data)

The global batch G comes first. Rank r of w reads the rows [G·r//w, G·(r+1)//w) of a step, in micro-batches of m rows;
every rank runs the same ceil(ceil(G/w)/m) of them, and rows that are missing are counted, masked *filler*, so that
collectives never hang and nothing needs to divide. "Rank" is the data-parallel rank.
"""

from dataclasses import dataclass, replace
from typing import Self

from batchwright.foundation.errors import InputError
from batchwright.sequences.packing import check_sequence_length

_LARGEST_MICRO_BATCH_SLOTS = 2**31 - 1


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchGeometry:
    """`*_size` counts sequences (rows of T = `sequence_length` slots)."""

    global_batch_size: int
    micro_batch_size: int
    sequence_length: int
    world_size: int = 1

    def __post_init__(self) -> None:
        check_sequence_length(self.sequence_length)
        for name in ("global_batch_size", "micro_batch_size", "world_size"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}", remedy="a whole number from 1")
        if self.micro_batch_size * self.sequence_length > _LARGEST_MICRO_BATCH_SLOTS:
            raise InputError(
                f"a micro-batch of {self.micro_batch_size:,} × {self.sequence_length:,} slots is more than 2³¹ - 1",
                remedy=f"micro_batch_size ≤ {_LARGEST_MICRO_BATCH_SLOTS // self.sequence_length:,}",
            )

    @property
    def accumulation(self) -> int:
        """Micro-batches per update on every rank."""
        return -(-self.rows_per_rank // self.micro_batch_size)

    @property
    def rows_per_rank(self) -> int:
        """Of one update, on the rank that has most."""
        return -(-self.global_batch_size // self.world_size)

    @property
    def tokens_per_step(self) -> int:
        """Slots of one update, over all ranks, filler not counted."""
        return self.global_batch_size * self.sequence_length

    @property
    def tokens_per_micro_batch(self) -> int:
        """Slots that one forward and backward computes, filler counted."""
        return self.micro_batch_size * self.sequence_length

    @property
    def filler_rows(self) -> int:
        """Rows of one update that are computed but empty, over all ranks."""
        return self.micro_batch_size * self.accumulation * self.world_size - self.global_batch_size

    def for_step(self, global_batch_size: int, sequence_length: int) -> Self:
        """The same ranks for a step of another size. At another T the micro-batch holds as many slots as this one's, as
        far as whole rows allow, so that memory stays what it was."""
        if (global_batch_size, sequence_length) == (self.global_batch_size, self.sequence_length):
            return self
        return replace(
            self,
            global_batch_size=global_batch_size,
            micro_batch_size=max(1, self.tokens_per_micro_batch // sequence_length),
            sequence_length=sequence_length,
        )

    def without_idle_micro_batch(self) -> Self:
        """The micro-batch halved until it holds less than twice the rows that a rank reads: what a recipe for few ranks
        or a large batch asks for would else be mostly filler on many, and at the beginning of a ramp. Halved, so that a
        ramp has few shapes."""
        micro_batch_size = self.micro_batch_size
        while micro_batch_size >= 2 * self.rows_per_rank:
            micro_batch_size //= 2
        return self if micro_batch_size == self.micro_batch_size else replace(self, micro_batch_size=micro_batch_size)

    def rows_of(self, rank: int) -> tuple[int, int]:
        """[first, stop): the rows of a step, counted from its first position, that a rank reads."""
        self._check_rank(rank)
        return (
            self.global_batch_size * rank // self.world_size,
            self.global_batch_size * (rank + 1) // self.world_size,
        )

    def rows_of_micro_batch(self, rank: int, number: int) -> tuple[int, int]:
        """[first, stop): the rows of a step in a rank's micro-batch; stop - first < micro_batch_size means filler."""
        first, stop = self.rows_of(rank)
        if not 0 <= number < self.accumulation:
            raise InputError(f"there is no micro-batch {number}; a step has {self.accumulation} of them per rank")
        begin = min(first + number * self.micro_batch_size, stop)
        return begin, min(begin + self.micro_batch_size, stop)

    def describe(self) -> str:
        """In words and numbers: "global batch 32 sequences = 4,096 tokens = micro-batch 8 × accumulation 4 × 1
        rank"."""
        text = (
            f"global batch {_counted(self.global_batch_size, 'sequence')} = {self.tokens_per_step:,} tokens = "
            f"micro-batch {self.micro_batch_size:,} × accumulation {self.accumulation:,} × "
            f"{_counted(self.world_size, 'rank')}"
        )
        return text + (f" - {_counted(self.filler_rows, 'filler row')}" if self.filler_rows else "")

    def _check_rank(self, rank: int) -> None:
        if not 0 <= rank < self.world_size:
            raise InputError(f"there is no rank {rank} in a world of {self.world_size}", remedy="ranks count from 0")


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
