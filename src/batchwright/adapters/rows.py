"""Rows by position, for torch: a map-style dataset, and the batch sampler of a rank's micro-batches.

    rows = Rows(plan, length=steps * G)
    DataLoader(rows, batch_sampler=RankBatches(BatchLoader(plan, geometry, rank=r)), collate_fn=stack_rows)

Item n is the row at position n of the plan, in any order, any number of times, in any worker; nothing is remembered.
Guarantee: the micro-batches are those of the loader, row for row, filler rows included. Price: ~40 µs and ~20 bytes per
slot for each row, and what torch takes to stack them and to carry them from a worker; `MicroBatches` is faster.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import NamedTuple, cast

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

    @cached_property
    def _loader(self) -> BatchLoader:
        """Steps of one row, and beside it one that is filler."""
        geometry = BatchGeometry(global_batch_size=1, micro_batch_size=2, sequence_length=self.plan.sequence_length)
        return BatchLoader(self.plan, geometry, certify=False)


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


def stack_rows(rows: Sequence[Row]) -> Row:
    """(B, T) of rows: the `collate_fn`."""
    return Row(*(torch.stack(cast("list[Tensor]", list(field))) for field in zip(*rows, strict=True)))
