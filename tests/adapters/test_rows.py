"""Rows by position: any row in any order, and the same micro-batches as the loader's, filler included."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, RandomSampler

from batchwright.adapters.rows import FILLER, RankBatches, Rows, stack_rows
from batchwright.foundation.errors import InputError
from batchwright.sequences.plan import Plan
from tests.adapters.streams import T, expected, loader_of, same, small_plan, take

# A machine may have fewer cores than the workers asked for; what they give is the same.
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return small_plan(tmp_path)


def test_a_row_is_found_by_its_position_beyond_the_epoch_too(plan: Plan) -> None:
    count = plan.index.row_count
    rows = Rows(plan, length=3 * count)
    assert len(rows) == 3 * count
    for position in (0, count - 1, count, 2 * count + 5):
        batch = next(loader_of(plan, 1, 1).step_from(position))
        row = rows[position]
        assert int(row.position) == position
        assert np.array_equal(row.inputs.numpy(), batch.inputs[0])
        assert np.array_equal(row.loss_mask.numpy(), batch.loss_mask[0])


def test_rows_may_begin_at_any_position(plan: Plan) -> None:
    assert int(Rows(plan, length=4, first_position=70)[3].position) == 73


def test_filler_is_all_padding(plan: Plan) -> None:
    row = Rows(plan, length=1)[FILLER]
    assert not row.loss_mask.any()
    assert int(row.position) == -1
    assert (row.inputs == plan.index.stored.eot_id).all()


def test_a_row_that_is_not_there_is_an_index_error(plan: Plan) -> None:
    with pytest.raises(IndexError):
        Rows(plan, length=4)[4]
    with pytest.raises(InputError):
        Rows(plan, length=0)


def test_kept_rows_stay_what_they_are(plan: Plan) -> None:
    rows = Rows(plan, length=50)
    kept = [rows[n] for n in range(50)]
    assert all(torch.equal(kept[n].targets, rows[n].targets) for n in range(50))


@pytest.mark.parametrize("workers", [0, 2])
def test_the_batch_sampler_gives_each_rank_its_micro_batches(plan: Plan, workers: int) -> None:
    """7 rows on 3 ranks in micro-batches of 2: nothing divides."""
    for rank in range(3):
        loader = loader_of(plan, 7, 2, 3, rank)
        data = DataLoader(
            Rows(plan, length=10_000),
            batch_sampler=RankBatches(loader, steps=4),
            collate_fn=stack_rows,
            num_workers=workers,
        )
        wanted = expected(loader, 4)
        found = list(data)
        assert len(found) == len(wanted) == 8
        assert all(same(item, want) for item, want in zip(found, wanted, strict=True))


@pytest.mark.parametrize("indices", [[3, 4, 5], [5, 4], [7, FILLER, FILLER], [FILLER, 7], [1, 3, FILLER], [59, 60, 61]])
def test_rows_asked_for_together_are_the_rows_alone(plan: Plan, indices: list[int]) -> None:
    rows = Rows(plan, length=80)
    together = rows.__getitems__(indices)
    assert len(together) == len(indices)
    for row, index in zip(together, indices, strict=True):
        assert all(torch.equal(ours, alone) for ours, alone in zip(row, rows[index], strict=True))
    assert all(
        torch.equal(ours, alone)
        for ours, alone in zip(stack_rows(together), stack_rows([rows[n] for n in indices]), strict=True)
    )


def test_more_rows_than_an_epoch_has_are_given_too(plan: Plan) -> None:
    count = plan.index.row_count
    rows = Rows(plan, length=3 * count)
    together = rows.__getitems__(list(range(2 * count)))
    assert [int(row.position) for row in together] == list(range(2 * count))


def test_any_other_sampler_works_on_rows_too(plan: Plan) -> None:
    rows = Rows(plan, length=40)
    order = RandomSampler(rows, generator=torch.Generator().manual_seed(1))
    seen = torch.cat([batch.position for batch in DataLoader(rows, batch_size=8, sampler=order)])
    assert sorted(seen.tolist()) == list(range(40))
    assert take(DataLoader(rows, batch_size=8), 1)[0].inputs.shape == (8, T)
