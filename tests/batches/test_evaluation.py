"""Evaluation: every row once, in order, the last batch completed with filler."""

from pathlib import Path

import pytest

from batchwright.batches.evaluation import evaluation_batches
from batchwright.foundation.errors import InputError
from batchwright.sequences.index import SequenceIndex
from batchwright.sequences.index_build import build_index
from tests.sequences.small_store import write_store


@pytest.fixture
def index(tmp_path: Path) -> SequenceIndex:
    return build_index(write_store(tmp_path, [5, 3, 9, 2, 20, 1, 7]), sequence_length=6)


@pytest.mark.parametrize("micro_batch_size", [1, 3, 8, 50])
def test_every_row_is_seen_once_in_order(index: SequenceIndex, micro_batch_size: int) -> None:
    rows: list[int] = []
    targets = 0
    for batch in evaluation_batches(index, micro_batch_size):
        assert batch.shape == (micro_batch_size, 6)
        rows += batch.rows[: batch.row_count].tolist()
        targets += batch.target_count
    assert rows == list(range(index.row_count))
    assert targets == index.target_count


def test_fewer_rows_are_spread_over_the_index(index: SequenceIndex) -> None:
    (batch,) = (next(evaluation_batches(index, 4, rows=3)),)
    assert batch.rows.tolist() == [0, index.row_count // 3, 2 * index.row_count // 3, -1]


def test_nothing_to_evaluate_is_refused(index: SequenceIndex) -> None:
    with pytest.raises(InputError):
        evaluation_batches(index, 0)
    with pytest.raises(InputError):
        evaluation_batches(index, 1, rows=0)
