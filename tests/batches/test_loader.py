"""The loader: one position of state, any step at any time, every refusal with its numbers."""

import json
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from batchwright.batches.geometry import BatchGeometry
from batchwright.batches.loader import BatchLoader
from batchwright.batches.schedule import BatchSchedule, ScheduledGeometry
from batchwright.batches.step import Step
from batchwright.foundation.errors import InputError
from batchwright.sequences.index_build import build_index
from batchwright.sequences.packing import Concatenate
from batchwright.sequences.plan import Plan
from tests.sequences.small_store import write_store

LENGTHS = [5, 3, 9, 2, 20, 1, 7, 4, 4, 13, 6, 2, 8, 31] * 4
T = 8


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return Plan.of(build_index(write_store(tmp_path, LENGTHS, shard_documents=9), sequence_length=T), seed=5)


def geometry(global_batch_size: int = 10, micro_batch_size: int = 4, world_size: int = 1) -> BatchGeometry:
    return BatchGeometry(
        global_batch_size=global_batch_size,
        micro_batch_size=micro_batch_size,
        sequence_length=T,
        world_size=world_size,
    )


def content(loader: BatchLoader, steps: int) -> list[Any]:
    """What a trainer sees in the next steps: inputs, targets, positions and certificate."""
    out: list[Any] = []
    for step in islice(loader, steps):
        batches = [(b.inputs.tolist(), b.targets.tolist(), b.positions.tolist(), b.epochs.tolist()) for b in step]
        loader.acknowledge(step)
        out.append((step.first_position, step.targets, step.certificate, batches))
    return out


def test_targets_of_a_step_are_known_before_its_micro_batches(plan: Plan) -> None:
    for step in islice(BatchLoader(plan, geometry()), 12):
        promised = step.targets
        assert sum(batch.target_count for batch in step) == promised


def test_any_step_can_be_built_at_any_time(plan: Plan) -> None:
    in_order = content(BatchLoader(plan, geometry()), 9)
    loader = BatchLoader(plan, geometry())
    for number in (7, 0, 8, 3):
        step = loader.step_at(number)
        batches = [(b.inputs.tolist(), b.targets.tolist(), b.positions.tolist(), b.epochs.tolist()) for b in step]
        assert (step.first_position, step.targets, step.certificate, batches) == in_order[number]


def test_prefetching_changes_nothing(plan: Plan) -> None:
    expected = content(BatchLoader(plan, geometry()), 9)
    for depth in (1, 2, 5):
        assert content(BatchLoader(plan, geometry(), prefetch=depth), 9) == expected


def test_micro_batches_left_out_are_skipped_with_their_step(plan: Plan) -> None:
    for depth in (0, 3):
        firsts = [next(step).positions[0] for step in islice(BatchLoader(plan, geometry(), prefetch=depth, ring=1), 4)]
        assert firsts == [0, 10, 20, 30]


@pytest.mark.parametrize("depth", [0, 2])
@pytest.mark.parametrize("ring", [1, 2, 5])
def test_a_batch_stays_valid_until_the_ring_comes_round(plan: Plan, ring: int, depth: int) -> None:
    stream = (batch for step in BatchLoader(plan, geometry(), ring=ring, prefetch=depth) for batch in step)
    taken = list(islice(stream, 7))
    copies = [batch.targets.copy() for batch in taken]
    for _ in range(20):
        taken.append(next(stream))
        copies.append(taken[-1].targets.copy())
        for batch, copy in zip(taken[-ring:], copies[-ring:], strict=True):
            assert np.array_equal(batch.targets, copy)


def test_a_whole_step_stays_valid_by_default(plan: Plan) -> None:
    for step in islice(BatchLoader(plan, geometry()), 3):
        positions = [p for batch in list(step) for p in batch.positions.tolist() if p >= 0]
        assert positions == list(range(step.first_position, step.stop_position))


def test_memory_is_reused_and_comes_from_the_callers_allocator(plan: Plan) -> None:
    handed_out: list[Any] = []

    def allocate(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
        handed_out.append(np.empty(shape, dtype))
        return handed_out[-1]

    loader = BatchLoader(plan, geometry(), ring=2, allocate=allocate)
    for step in islice(loader, 20):
        for batch in step:
            assert any(batch.inputs is array for array in handed_out)
    assert len(handed_out) == 2 * 5


def test_the_position_moves_on_acknowledgement_only(plan: Plan) -> None:
    loader = BatchLoader(plan, geometry(), prefetch=2)
    steps = iter(loader)
    first, second = next(steps), next(steps)
    assert loader.state()["position"] == 0
    with pytest.raises(InputError, match="position 10 is acknowledged, the next stands at 0"):
        loader.acknowledge(second)
    loader.acknowledge(first)
    loader.acknowledge(second)
    assert loader.position == 20
    with pytest.raises(InputError):
        loader.acknowledge(second)


def test_the_state_is_small_json_the_same_on_every_rank(plan: Plan) -> None:
    states = [BatchLoader(plan, geometry(world_size=3), rank=rank).state() for rank in range(3)]
    assert states[0] == states[1] == states[2]
    assert len(json.dumps(states[0])) < 1024
    assert states[0]["plan"] == plan.hash


def test_a_state_of_other_data_is_refused_and_the_difference_named(plan: Plan, tmp_path: Path) -> None:
    state = BatchLoader(plan, geometry()).state()
    store = write_store(tmp_path / "other", LENGTHS)
    others = {
        r"seed: 5 there, 6 here": Plan.of(plan.index, seed=6),
        r"policy: 'best-fit' there, 'concatenate' here": Plan.of(
            build_index(write_store(tmp_path, LENGTHS, shard_documents=9), sequence_length=T, packing=Concatenate()),
            seed=5,
        ),
        r"store: .* there": Plan.of(build_index(store, sequence_length=T), seed=5),
    }
    for difference, other in others.items():
        with pytest.raises(InputError, match=difference):
            BatchLoader(other, geometry()).restore(state)
    with pytest.raises(InputError, match="not a position"):
        BatchLoader(plan, geometry()).restore({**state, "position": -1})


def test_a_batch_larger_than_the_data_is_refused_with_both_numbers(plan: Plan) -> None:
    rows = plan.index.row_count
    with pytest.raises(InputError, match=f"{rows + 1} sequences is larger than the data: an epoch has {rows} rows"):
        BatchLoader(plan, geometry(rows + 1))
    step = next(iter(BatchLoader(plan, geometry(rows))))
    assert step.targets == sum(LENGTHS)


def test_a_step_may_lie_in_two_epochs(plan: Plan) -> None:
    rows = plan.index.row_count
    loader = BatchLoader(plan, geometry(rows - 1, rows))
    epochs = [batch.epochs[: rows - 1].tolist() for batch in loader.step_at(1)]
    assert epochs == [[0] + [1] * (rows - 2)]


def test_what_does_not_fit_is_refused(plan: Plan) -> None:
    with pytest.raises(InputError, match="sequences of 9 tokens, the plan of 8"):
        BatchLoader(plan, BatchGeometry(global_batch_size=4, micro_batch_size=2, sequence_length=9))
    with pytest.raises(InputError, match="no rank 2"):
        BatchLoader(plan, geometry(world_size=2), rank=2)
    with pytest.raises(InputError, match="60,000 do not fit int16"):
        BatchLoader(plan, geometry(), ids_dtype=np.int16)
    with pytest.raises(InputError, match="do not fit float32"):
        BatchLoader(plan, geometry(), ids_dtype=np.float32)
    with pytest.raises(InputError, match="ring"):
        BatchLoader(plan, geometry(), ring=0)


def test_a_certificate_is_of_the_whole_step_or_refused(plan: Plan) -> None:
    step = BatchLoader(plan, geometry()).step_at(0)
    next(step)
    with pytest.raises(InputError, match="1 of 3 micro-batches"):
        _ = step.certificate
    step.drain()
    assert step.certificate > 0
    silent = BatchLoader(plan, geometry(), certify=False).step_at(0)
    silent.drain()
    with pytest.raises(InputError, match="no certificates"):
        _ = silent.certificate


@pytest.mark.parametrize("number", [2**61, 2**63 - 1, 10**40])
def test_a_step_beyond_the_last_position_is_refused(number: int, tmp_path: Path) -> None:
    plan = Plan.of(build_index(write_store(tmp_path, [9, 9, 9]), sequence_length=4))
    loader = BatchLoader(plan, BatchGeometry(global_batch_size=2, micro_batch_size=1, sequence_length=4))
    with pytest.raises(InputError, match="beyond the last one"):
        list(loader.step_at(number))


def test_a_micro_batch_far_above_a_small_step_is_halved(plan: Plan) -> None:
    cut = ScheduledGeometry(schedule=BatchSchedule.of(plan, 3), micro_batch_size=64, world_size=2)
    steps = [next(iter(BatchLoader(plan, cut, rank=rank))) for rank in (0, 1)]
    assert [step.geometry.micro_batch_size for step in steps] == [2, 2]
    assert [[batch.inputs.shape[0] for batch in step] for step in steps] == [[2], [2]]
    whole = BatchLoader(plan, geometry(3, 3))
    assert sum(step.certificate for step in steps) % 2**64 == drained(next(iter(whole))).certificate


def test_a_micro_batch_below_twice_the_rows_stays_as_it_is() -> None:
    assert geometry(10, 19).without_idle_micro_batch().micro_batch_size == 19
    assert geometry(10, 20).without_idle_micro_batch().micro_batch_size == 10
    assert geometry(1, 3).without_idle_micro_batch().micro_batch_size == 1


def drained(step: Step) -> Step:
    step.drain()
    return step
