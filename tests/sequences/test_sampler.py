"""Position ↔ row: a bijection per epoch, the same for every question asked."""

from pathlib import Path

import numpy as np
import pytest

from batchwright.foundation.errors import InputError
from batchwright.sequences.index_build import build_index
from batchwright.sequences.plan import Plan
from batchwright.sequences.sampler import Sampler
from tests.sequences.small_store import write_store


@pytest.fixture
def sampler(tmp_path: Path) -> Sampler:
    return Sampler(Plan.of(build_index(write_store(tmp_path, [5] * 23), sequence_length=6), seed=1))


def test_every_epoch_has_every_row_once_and_its_own_order(sampler: Sampler) -> None:
    rows, epochs = sampler.rows_at(0, 3 * 23)
    assert np.array_equal(epochs, np.repeat(np.arange(3), 23))
    orders = rows.reshape(3, 23)
    assert np.array_equal(np.sort(orders, axis=1), np.tile(np.arange(23), (3, 1)))
    assert len({order.tobytes() for order in orders}) == 3


def test_a_row_is_found_at_its_position(sampler: Sampler) -> None:
    rows, epochs = sampler.rows_at(0, 60)
    found = [sampler.position_of(row, epoch) for row, epoch in zip(rows.tolist(), epochs.tolist(), strict=True)]
    assert found == list(range(60))


def test_any_range_is_a_part_of_the_one_order(sampler: Sampler) -> None:
    rows, epochs = sampler.rows_at(0, 400)
    for first, count in ((0, 1), (22, 2), (23, 23), (17, 90), (299, 101)):
        part, part_epochs = Sampler(sampler.plan).rows_at(first, count)
        assert np.array_equal(part, rows[first : first + count])
        assert np.array_equal(part_epochs, epochs[first : first + count])


def test_a_far_position_costs_no_more_than_a_near_one(sampler: Sampler) -> None:
    rows, epochs = sampler.rows_at(10**15, 5)
    assert epochs[0] == 10**15 // 23
    assert sampler.position_of(int(rows[0]), int(epochs[0])) == 10**15


def test_places_that_do_not_exist_are_refused(sampler: Sampler) -> None:
    with pytest.raises(InputError):
        sampler.rows_at(-1, 2)
    with pytest.raises(InputError):
        sampler.position_of(23, 0)
    with pytest.raises(InputError):
        sampler.position_of(0, -1)
