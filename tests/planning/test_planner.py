"""A geometry that fits, for a reason that is said; or a refusal that says what would."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwright.foundation.errors import InputError, ResourceError
from batchwright.model.config import ModelConfig
from batchwright.planning.hardware import Hardware, this_machine
from batchwright.planning.memory import StepMemory, step_memory
from batchwright.planning.planner import fit_geometry

MODEL = ModelConfig(vocabulary_size=2048, sequence_length=128, width=64, layers=4, heads=4, feed_forward_width=128)


@given(global_batch=st.integers(1, 300), mebibytes=st.integers(20, 900), world=st.integers(1, 4))
def test_what_is_planned_fits_and_one_row_more_would_not(global_batch: int, mebibytes: int, world: int):
    plan = fit_geometry(
        MODEL, global_batch_size=global_batch, memory_bytes=mebibytes << 20, world_size=world, reserve_fraction=0.0
    )
    share = -(-global_batch // world)
    assert plan.memory.peak_bytes <= mebibytes << 20
    assert plan.geometry.global_batch_size == global_batch
    assert plan.geometry.micro_batch_size <= plan.largest_micro_batch_size <= share
    if plan.largest_micro_batch_size < share:
        more = step_memory(MODEL, micro_batch_size=plan.largest_micro_batch_size + 1, accumulates=True)
        whole = step_memory(MODEL, micro_batch_size=share)
        assert max(more.peak_bytes, whole.peak_bytes) > mebibytes << 20


def test_rows_are_spread_evenly_instead_of_leaving_a_nearly_empty_last_micro_batch():
    memory = step_memory(MODEL, micro_batch_size=9, accumulates=True).peak_bytes
    plan = fit_geometry(MODEL, global_batch_size=10, memory_bytes=memory, reserve_fraction=0.0)
    assert plan.largest_micro_batch_size == 9
    assert plan.geometry.micro_batch_size == 5
    assert plan.geometry.filler_rows == 0


def test_the_fastest_measured_micro_batch_is_followed_as_far_as_memory_allows():
    plan = fit_geometry(MODEL, global_batch_size=64, memory_bytes=1 << 30, fastest_micro_batch_size=8)
    assert plan.geometry.micro_batch_size == 8
    assert any(reason.source == "measured here" for reason in plan.reasons)


def test_every_number_has_a_reason_and_a_source():
    plan = fit_geometry(MODEL, global_batch_size=64, memory_bytes=100 << 20)
    assert all(reason.because and reason.source and reason.value for reason in plan.reasons)
    assert "would need" in next(r.because for r in plan.reasons if r.name == "largest micro-batch")


def test_when_not_even_one_row_fits_the_length_that_would_is_named():
    with pytest.raises(ResourceError) as refused:
        fit_geometry(MODEL, global_batch_size=8, memory_bytes=12 << 20, sequence_length=8192)
    length = int((refused.value.remedy or "").removeprefix("sequence_length = "))
    fit_geometry(MODEL, global_batch_size=8, memory_bytes=12 << 20, sequence_length=length)
    with pytest.raises(ResourceError):
        fit_geometry(MODEL, global_batch_size=8, memory_bytes=12 << 20, sequence_length=length + 1)


def test_a_model_that_fits_nowhere_is_told_so():
    with pytest.raises(ResourceError, match="a smaller model"):
        fit_geometry(MODEL, global_batch_size=1, memory_bytes=1 << 20)


def test_a_reserve_is_a_share():
    with pytest.raises(InputError, match="between 0 and 1"):
        fit_geometry(MODEL, global_batch_size=1, memory_bytes=1 << 30, reserve_fraction=1.0)


def test_this_machine_has_cores_and_memory():
    here = this_machine()
    assert here.cores >= 1
    assert 0 < here.available_bytes <= here.memory_bytes
    assert "cores" in here.describe()
    with pytest.raises(InputError):
        Hardware(cores=0, memory_bytes=1, available_bytes=1)


def test_a_model_whose_weights_alone_do_not_fit_is_asked_for_few_sizes():
    asked: list[tuple[int, int]] = []

    def counting(rows: int, length: int, accumulates: bool) -> StepMemory:
        asked.append((rows, length))
        return step_memory(MODEL, micro_batch_size=rows, sequence_length=length, accumulates=accumulates)

    with pytest.raises(ResourceError) as caught:
        fit_geometry(MODEL, global_batch_size=64, memory_bytes=1 << 20, memory_of_step=counting)
    assert caught.value.remedy == "a smaller model, or a machine with more memory"
    assert asked == [(64, 128), (1, 128), (1, 1)]
