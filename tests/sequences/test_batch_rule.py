"""Rules are step functions of slots seen, and their steps can be counted without a plan."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchwright.foundation.errors import InputError
from batchwright.sequences.batch_rule import (
    BatchRule,
    ConstantBatch,
    DoublingBatch,
    RampedBatch,
    SteppedBatch,
    batch_rule_from_dict,
    steps_within,
)

RULES = st.one_of(
    st.builds(ConstantBatch, size=st.integers(1, 40)),
    st.builds(
        lambda first, more, over, multiple: RampedBatch(first=first, last=first + more, over=over, multiple=multiple),
        st.integers(1, 9),
        st.integers(0, 40),
        st.integers(1, 3000),
        st.integers(1, 5),
    ),
    st.builds(
        lambda first, more, every: DoublingBatch(first=first, last=first + more, every=every),
        st.integers(1, 9),
        st.integers(0, 70),
        st.integers(1, 900),
    ),
    st.just(SteppedBatch(pieces=((0, 3), (100, 17), (700, 2)))),
)


def one_by_one(rule: BatchRule, length: int, slots: int) -> tuple[int, int]:
    steps, seen = 0, 0
    while seen < slots:
        seen += rule.size_at(seen) * length
        steps += 1
    return steps, seen


def as_if_the_batch_were_full(rule: BatchRule, length: int, slots: int) -> tuple[int, int]:
    per_step = rule.size_at(10**9) * length
    return -(-slots // per_step), -(-slots // per_step) * per_step


@settings(max_examples=200)
@given(RULES, st.integers(1, 16), st.integers(0, 9000))
def test_steps_are_counted_as_if_taken_one_by_one(rule: BatchRule, length: int, slots: int) -> None:
    assert steps_within(rule, sequence_length=length, slots=slots) == one_by_one(rule, length, slots)


def test_counting_with_the_full_batch_is_caught() -> None:
    ramp = DoublingBatch(first=1, last=32, every=500)
    assert as_if_the_batch_were_full(ramp, 4, 6000) != one_by_one(ramp, 4, 6000)


@settings(max_examples=200)
@given(RULES, st.integers(0, 5000))
def test_the_size_changes_nowhere_but_at_the_next_change(rule: BatchRule, slots: int) -> None:
    change = rule.next_change(slots)
    size = rule.size_at(slots)
    until = slots + 5000 if change is None else change
    assert all(rule.size_at(at) == size for at in {slots, (slots + until) // 2, until - 1})
    assert change is None or change > slots


@given(RULES)
def test_a_rule_reads_back_from_its_json(rule: BatchRule) -> None:
    assert batch_rule_from_dict(rule.to_dict()) == rule


def test_an_unknown_rule_names_the_nearest() -> None:
    with pytest.raises(InputError, match="doubling"):
        batch_rule_from_dict({"rule": "doublin"})
