"""Rows laid over ranks: the same set, the same rooms, and no rank much dearer than the mean."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwright.batches.balance import even_layout


def reference(costs: list[int], rooms: list[int]) -> list[int]:
    """Longest first, each to the rank with the least that has room; ties to the lower row and rank."""
    ranks: list[list[int]] = [[] for _ in rooms]
    for row in sorted(range(len(costs)), key=lambda row: (-costs[row], row)):
        free = [rank for rank in range(len(rooms)) if len(ranks[rank]) < rooms[rank]]
        ranks[min(free, key=lambda rank: (sum(costs[r] for r in ranks[rank]), rank))].append(row)
    return [row for rank in ranks for row in sorted(rank)]


@given(st.lists(st.integers(0, 50), min_size=1, max_size=60), st.integers(1, 70))
def test_the_layout_is_longest_first_into_the_least_loaded_rank(costs: list[int], world: int) -> None:
    rooms = [len(costs) * (rank + 1) // world - len(costs) * rank // world for rank in range(world)]
    laid = even_layout(np.array(costs), np.array(rooms))
    assert laid.tolist() == reference(costs, rooms)
    assert sorted(laid.tolist()) == list(range(len(costs)))


def test_ranks_come_out_even_where_they_were_not() -> None:
    costs = np.random.default_rng(0).lognormal(10, 1, 512).astype(np.int64)
    before = costs.reshape(32, 16).sum(1)
    after = costs[even_layout(costs, np.full(32, 16))].reshape(32, 16).sum(1)
    assert before.max() > 1.4 * before.mean()
    assert after.max() < 1.02 * after.mean()


def test_rooms_that_do_not_hold_the_step_are_refused() -> None:
    with pytest.raises(ValueError, match="do not hold 5"):
        even_layout(np.ones(5, np.int64), np.array([2, 2]))
