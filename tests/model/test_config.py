"""Closed forms of parameters and FLOPs against the real module."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from batchwright.foundation.errors import InputError
from batchwright.model.config import PRESETS, ModelConfig, preset
from batchwright.model.transformer import Transformer


@st.composite
def shapes(draw: st.DrawFn) -> ModelConfig:
    heads = draw(st.integers(1, 4))
    return ModelConfig(
        vocabulary_size=draw(st.integers(1, 99)),
        sequence_length=draw(st.integers(1, 24)),
        width=heads * 2 * draw(st.integers(1, 6)),
        layers=draw(st.integers(1, 3)),
        heads=heads,
        feed_forward_width=draw(st.integers(1, 40)),
    )


@given(shapes())
@settings(max_examples=25)
def test_the_parameter_formula_counts_the_real_modules_weights(shape: ModelConfig) -> None:
    model = Transformer(shape, seed=0)
    assert shape.parameter_count() == sum(parameter.numel() for parameter in model.parameters())
    by_part = shape.parameters_by_part()
    assert by_part["embedding"] == model.embedding.weight.numel()
    assert by_part["norms"] == sum(p.numel() for p in model.parameters() if p.ndim == 1)


@given(shapes())
@settings(max_examples=10)
def test_the_flop_formula_counts_what_torch_counts(shape: ModelConfig) -> None:
    model = Transformer(shape, seed=0)
    ids = torch.zeros(2, shape.sequence_length, dtype=torch.int64)
    # The fused CPU kernel reports no FLOPs at all; plain matrix products do.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        model(ids, torch.arange(shape.sequence_length).repeat(2, 1)).sum().backward()
    assert counter.get_total_flops() == shape.flops_per_token() * 2 * shape.sequence_length


def test_presets_have_the_sizes_they_are_named_for() -> None:
    assert 120e6 < PRESETS["gpt2-124m"].parameter_count() < 125e6
    assert preset("tiny").parameter_count() <= 300_000
    assert preset("tiny", vocabulary_size=257, sequence_length=64) == replace(
        PRESETS["tiny"], vocabulary_size=257, sequence_length=64
    )


def test_an_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(InputError) as caught:
        preset("tinny")
    assert caught.value.remedy == "did you mean 'tiny'? known: tiny, gpt2-124m"


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("layers", 0, "layers is 0"),
        ("heads", 5, "width 64 does not divide into 5 heads"),
        ("heads", 64, "heads of an even size"),
        ("norm_epsilon", 0.0, "norm_epsilon"),
        ("rotary_base", 1.0, "rotary_base"),
    ],
)
def test_a_shape_that_cannot_be_is_refused(field: str, value: float, words: str) -> None:
    with pytest.raises(InputError, match=words):
        replace(PRESETS["tiny"], **{field: value})


def test_a_width_that_is_a_slip_of_the_hand_is_refused_at_once() -> None:
    with pytest.raises(InputError, match="does not divide"):
        replace(PRESETS["tiny"], width=10**15, heads=7)


def test_the_remedy_for_heads_works() -> None:
    with pytest.raises(InputError) as caught:
        replace(PRESETS["tiny"], heads=5)
    assert caught.value.remedy == "heads = 4"
    assert replace(PRESETS["tiny"], heads=4).head_size == 16
