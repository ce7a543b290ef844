"""Rows by position, for torch: a map-style dataset, and the batch sampler of a rank's micro-batches.

    rows = Rows(plan, length=steps * G)
    DataLoader(rows, batch_sampler=RankBatches(BatchLoader(plan, geometry, rank=r)), collate_fn=stack_rows)

Item n is the row at position n of the plan, in any order, any number of times, in any worker; nothing is remembered.
Guarantee: the micro-batches are those of the loader, row for row, filler rows included. Price: neighbours asked for
together (a batch sampler does) are built together, ~3 ns per slot in fresh memory; any other row costs ~45 µs alone. A
worker adds what torch takes to carry a batch from one process to another. A plan that changes T, skips positions or
says itself how large a batch is needs `MicroBatches`.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import NamedTuple, cast, overload

import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from batchwright.adapters.places import Places
from batchwright.batches.batch import Batch
from batchwright.batches.geometry import BatchGeometry
from batchwright.batches.loader import BatchLoader
from batchwright.foundation.errors import InputError
from batchwright.sequences.plan import Plan

FILLER = -1
"""The index of a row that is all padding."""


class Row(NamedTuple):
    """A row of T slots, or, stacked, (B, T): ids int64, mask bool, position ids int32; `position` int64, -1 for filler.

    A tuple and not a dict: trainers that drop the "columns" a model does not know leave it alone.
    """

    inputs: Tensor
    targets: Tensor
    loss_mask: Tensor
    position_ids: Tensor
    position: Tensor


class Rows(Dataset[Row]):
    """The rows at positions `first_position` … `first_position + length - 1`. Beyond an epoch they come again, in the
    next epoch's order."""

    def __init__(self, plan: Plan, *, length: int, first_position: int = 0) -> None:
        if length < 1 or first_position < 0:
            raise InputError(
                f"{length:,} rows from position {first_position:,} on", remedy="at least one row, positions from 0"
            )
        self.plan, self.length, self.first_position = plan, length, first_position

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Row:
        if index == FILLER:
            return row_of(next(self._loader.step_from(0)), 1)
        if not 0 <= index < self.length:
            raise IndexError(f"row {index:,} of {self.length:,}")
        return row_of(next(self._loader.step_from(self.first_position + index)), 0)

    def __getitems__(self, indices: list[int]) -> Sequence[Row]:
        """The rows of a batch. Neighbours, and filler after them, are built together."""
        first, count = indices[0], 1
        while count < len(indices) and indices[count] == first + count:
            count += 1
        neighbours = first != FILLER and all(index == FILLER for index in indices[count:])
        if neighbours and first >= 0 and first + count <= self.length:
            loader = self._loader_of(count, len(indices))
            if loader is not None:
                return Block(stacked(next(loader.step_from(self.first_position + first))))
        return [self[index] for index in indices]

    @cached_property
    def _loader(self) -> BatchLoader:
        """Steps of one row, and beside it one that is filler."""
        geometry = BatchGeometry(global_batch_size=1, micro_batch_size=2, sequence_length=self.plan.sequence_length)
        return BatchLoader(self.plan, geometry, certify=False)

    @cached_property
    def _loaders(self) -> dict[tuple[int, int], BatchLoader | None]:
        return {}

    def _loader_of(self, count: int, size: int) -> BatchLoader | None:
        """Steps of `count` rows in batches of `size`; None where an epoch has fewer rows."""
        key = (count, size)
        if key not in self._loaders:
            geometry = BatchGeometry(
                global_batch_size=count, micro_batch_size=size, sequence_length=self.plan.sequence_length
            )
            try:
                self._loaders[key] = BatchLoader(self.plan, geometry, certify=False)
            except InputError:
                self._loaders[key] = None
        return self._loaders[key]


class RankBatches(Places, Sampler[list[int]]):
    """The indices, in `Rows` that begin at position 0, of each of this rank's micro-batches: all of one size, filled up
    with FILLER. State through `state_dict`: what was *drawn*; for what was handed out see `ExactDataLoader`."""

    def __iter__(self) -> Iterator[list[int]]:
        for step, number, _ in self.ahead():
            begin, stop = step.geometry.rows_of_micro_batch(self.loader.rank, number)
            first = step.first_position
            if step.stop_position - first != step.sequences:
                raise InputError(
                    f"the step at position {first:,} skips some positions, which rows by position cannot say",
                    remedy="use MicroBatches",
                )
            filler = step.geometry.micro_batch_size - (stop - begin)
            yield [*range(first + begin, first + stop), *[FILLER] * filler]


def row_of(batch: Batch, b: int) -> Row:
    """Row b of a batch that has memory of its own, without a copy."""
    return Row(
        inputs=torch.from_numpy(batch.inputs[b]),
        targets=torch.from_numpy(batch.targets[b]),
        loss_mask=torch.from_numpy(batch.loss_mask[b]),
        position_ids=torch.from_numpy(batch.position_ids[b]),
        position=torch.tensor(int(batch.positions[b])),
    )


def stacked(batch: Batch) -> Row:
    """A whole batch that has memory of its own, (B, T), without a copy."""
    return Row(
        inputs=torch.from_numpy(batch.inputs),
        targets=torch.from_numpy(batch.targets),
        loss_mask=torch.from_numpy(batch.loss_mask),
        position_ids=torch.from_numpy(batch.position_ids),
        position=torch.from_numpy(batch.positions),
    )


class Block(Sequence[Row]):
    """Rows that lie together in memory already; each is a view."""

    def __init__(self, whole: Row) -> None:
        self.whole = whole

    def __len__(self) -> int:
        return self.whole.inputs.shape[0]

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | Sequence[Row]:
        if isinstance(index, slice):
            return [self[b] for b in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"row {index} of {len(self)}")
        return Row(*(field[index] for field in self.whole))


def stack_rows(rows: Sequence[Row]) -> Row:
    """(B, T) of rows: the `collate_fn`."""
    if isinstance(rows, Block):
        return rows.whole
    return Row(*(torch.stack(cast("list[Tensor]", list(field))) for field in zip(*rows, strict=True)))
