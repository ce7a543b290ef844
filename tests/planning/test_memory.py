"""The closed form of memory as a function; tests/laws holds it against the bytes of the real step."""

from dataclasses import replace

import pytest

from batchwright.foundation.errors import InputError
from batchwright.model.config import ModelConfig
from batchwright.model.execution import PLAIN, Execution
from batchwright.model.presets import preset
from batchwright.planning.memory import PARTS, step_memory

MODEL = ModelConfig(vocabulary_size=2048, sequence_length=128, width=64, layers=4, heads=4, feed_forward_width=128)


def test_the_parts_add_up_to_the_peak_and_every_part_has_its_name():
    memory = step_memory(MODEL, micro_batch_size=8)
    assert set(memory.peak.parts) == set(PARTS)
    assert sum(memory.peak.parts.values()) == memory.peak_bytes == max(memory.phase_peaks.values())


def test_the_b_t_d_tensor_is_counted_by_itself():
    memory = step_memory(MODEL, micro_batch_size=8, sequence_length=100)
    assert memory.hidden_bytes == 8 * 100 * 64 * 4
    assert memory.logits_bytes == 8 * 100 * 2048 * 4


@pytest.mark.parametrize("grown", [{"micro_batch_size": 9}, {"sequence_length": 129}])
def test_more_slots_need_more_memory(grown: dict[str, int]):
    before = step_memory(MODEL, micro_batch_size=8, sequence_length=128)
    after = step_memory(MODEL, **{"micro_batch_size": 8, "sequence_length": 128, **grown})
    assert after.peak_bytes > before.peak_bytes


def test_proportionality_ends_where_the_fixed_part_and_the_mask_begin():
    small, large = (step_memory(MODEL, micro_batch_size=rows, loss="whole").proportions for rows in (64, 128))
    assert large.fixed_bytes == small.fixed_bytes
    assert large.per_slot_bytes == 2 * small.per_slot_bytes
    short, long = (
        step_memory(MODEL, micro_batch_size=64, sequence_length=t, loss="whole").proportions for t in (128, 256)
    )
    assert long.per_slot_bytes == 2 * short.per_slot_bytes
    assert long.per_slot_squared_bytes == 4 * short.per_slot_squared_bytes
    assert 0 < step_memory(MODEL, micro_batch_size=1, sequence_length=8).proportions.batch_share < small.batch_share < 1


def test_accumulation_costs_the_gradients_and_isolation_the_mask():
    plain = step_memory(MODEL, micro_batch_size=8, isolate=False)
    accumulating = step_memory(MODEL, micro_batch_size=8, isolate=False, accumulates=True)
    isolated = step_memory(MODEL, micro_batch_size=8, isolate=True)
    assert accumulating.peak.parts["gradients"] - plain.peak.parts["gradients"] == 4 * MODEL.parameter_count()
    assert isolated.peak.parts["attention_mask"] == 4 * 8 * 128 * 128
    assert plain.peak.parts["attention_mask"] == 0


def test_whole_logits_grow_with_the_batch_and_a_chunk_of_them_does_not():
    whole = [step_memory(MODEL, micro_batch_size=rows, loss="whole").proportions for rows in (16, 32)]
    chunked = [step_memory(MODEL, micro_batch_size=rows, loss="chunked") for rows in (16, 32)]
    assert whole[1].per_slot_vocabulary_bytes == pytest.approx(2 * whole[0].per_slot_vocabulary_bytes, abs=100)
    assert whole[0].per_slot_vocabulary_bytes == pytest.approx(3 * 4 * 16 * 128 * 2048, abs=100)
    held = [next(moment.parts for moment in each.moments if moment.name == "chunk") for each in chunked]
    assert held[0]["logits_and_loss"] == held[1]["logits_and_loss"] < 1.01 * 4 * 256 * 2048
    assert chunked[1].peak_bytes < step_memory(MODEL, micro_batch_size=32, loss="whole").peak_bytes


def test_the_chunked_loss_takes_two_fifths_off_the_peak_of_twelve_layers():
    whole, chunked = (
        step_memory(preset("gpt2-124m"), micro_batch_size=8, sequence_length=1024, loss=loss).peak_bytes
        for loss in ("whole", "chunked")
    )
    assert chunked < 0.6 * whole


def test_a_tiny_batch_peaks_outside_the_loss():
    assert step_memory(MODEL, micro_batch_size=1, sequence_length=4).peak.phase == "backward"


@pytest.mark.parametrize(
    "wrong",
    [{"micro_batch_size": 0}, {"micro_batch_size": 1, "sequence_length": 0}, {"micro_batch_size": 1, "item_bytes": 2}],
)
def test_impossible_shapes_are_refused_with_their_numbers(wrong: dict[str, int]):
    with pytest.raises(InputError, match="not"):
        step_memory(MODEL, **wrong)


@pytest.mark.parametrize(
    ("model", "execution", "words"),
    [
        (replace(MODEL, norm="layer", tied=False), PLAIN, "does not know norm = 'layer', tied = False"),
        (MODEL, Execution(precision="bf16"), "does not know precision = 'bf16'"),
        (MODEL, Execution(activation_checkpointing="full"), "does not know activation_checkpointing = 'full'"),
    ],
)
def test_what_the_form_does_not_know_is_refused_by_name(model: ModelConfig, execution: Execution, words: str):
    with pytest.raises(InputError, match=words) as caught:
        step_memory(model, micro_batch_size=1, execution=execution)
    assert "trace_step" in str(caught.value.remedy)


def test_the_form_counts_the_state_of_adamw_and_of_no_other_optimizer():
    with pytest.raises(InputError, match="does not know optimizer = 'sgd'"):
        step_memory(MODEL, micro_batch_size=1, optimizer="sgd")
