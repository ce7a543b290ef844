"""Run length never enters the order: training longer only appends. And the order's randomness is named, not summed."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from batchwright.foundation.permutation import KeyedPermutation
from batchwright.foundation.randomness import key
from batchwright.sequences.packing import BestFit
from batchwright.sequences.plan import Plan
from batchwright.sequences.sampler import Sampler
from tests.laws.streams import PLANS, index_of

Order = Callable[[Plan, int], NDArray[np.int64]]


def order(plan: Plan, length: int) -> NDArray[np.int64]:
    """The rows of a run of so many sequences."""
    return Sampler(plan).rows_at(0, length)[0]


def check_prefix(order: Order, plan: Plan, shorter: int, longer: int) -> None:
    assert np.array_equal(order(plan, longer)[:shorter], order(plan, shorter))


def check_named(order: Order, plan: Plan) -> None:
    """Epoch e + 1 of seed s is not epoch e of seed s + 1."""
    rows, seed = plan.index.row_count, plan.stage.seed
    next_seed = Plan.of(plan.index, seed=seed + 1, name=plan.stage.source.name)
    for epoch in range(3):
        ours = order(plan, 5 * rows)[(epoch + 1) * rows : (epoch + 2) * rows]
        assert not np.array_equal(ours, order(next_seed, 5 * rows)[epoch * rows : (epoch + 1) * rows])


@given(PLANS, st.integers(0, 500), st.integers(0, 500))
def test_a_longer_run_begins_with_the_shorter_one(plan: Plan, length: int, more: int) -> None:
    check_prefix(order, plan, length, length + more)


@given(PLANS, st.integers(0, 10**12), st.integers(1, 300), st.integers(1, 300))
def test_any_two_questions_about_a_position_have_one_answer(plan: Plan, start: int, count: int, shift: int) -> None:
    whole = Sampler(plan).rows_at(start, count + shift)[0]
    assert np.array_equal(Sampler(plan).rows_at(start + shift, count)[0], whole[shift:])


def test_epochs_and_seeds_do_not_meet() -> None:
    check_named(order, Plan.of(index_of(3, BestFit(), 2)))


def dealt_anew(plan: Plan, length: int) -> NDArray[np.int64]:
    """Broken twin: one shuffle over all the epochs of the run, as when the run length decides the index."""
    rows = plan.index.row_count
    return KeyedPermutation(size=max(1, length), key=key(plan.stage.seed, "all")).forward_range(0, length) % rows


def seed_by_addition(plan: Plan, length: int) -> NDArray[np.int64]:
    """Broken twin: the epoch is added to the seed."""
    rows = plan.index.row_count
    epochs = [
        KeyedPermutation(size=rows, key=plan.stage.seed + epoch).forward_range(0, rows)
        for epoch in range(-(-length // rows))
    ]
    return np.concatenate(epochs)[:length]


def test_the_law_catches_an_order_dealt_for_the_whole_run() -> None:
    plan = Plan.of(index_of(0, BestFit(), 8))
    with pytest.raises(AssertionError):
        check_prefix(dealt_anew, plan, 50, 90)


def test_the_law_catches_a_seed_by_addition() -> None:
    with pytest.raises(AssertionError):
        check_named(seed_by_addition, Plan.of(index_of(3, BestFit(), 2)))
