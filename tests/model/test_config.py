"""Closed forms of parameters and FLOPs against the real module, for every kind of shape; what cannot be a shape."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from batchwright.foundation.errors import InputError
from batchwright.model.config import ModelConfig
from batchwright.model.presets import PRESETS
from batchwright.model.transformer import Transformer
from tests.model.variants import PARTS, shapes, variant

SMALL = ModelConfig(vocabulary_size=31, sequence_length=12, width=16, layers=2, heads=2, feed_forward_width=24)
PART_OF = {
    "embedding": "embedding",
    "positions": "positions",
    "attention": "attention",
    "feed_forward": "feed_forward",
    "attention_norm": "norms",
    "feed_forward_norm": "norms",
    "final_norm": "norms",
    "output": "output",
}


def counted_by_part(model: Transformer) -> dict[str, int]:
    counts = dict.fromkeys(("embedding", "positions", "attention", "feed_forward", "norms", "output"), 0)
    for name, parameter in model.named_parameters():
        counts[PART_OF[name.removeprefix("blocks.").lstrip("0123456789.").split(".")[0]]] += parameter.numel()
    return counts


@given(shapes())
@settings(max_examples=40)
def test_the_parameter_formula_counts_the_real_modules_weights(shape: ModelConfig) -> None:
    with torch.device("meta"):
        model = Transformer(shape, seed=0)
    assert shape.parameters_by_part() == counted_by_part(model)
    assert shape.parameter_count() == sum(parameter.numel() for parameter in model.parameters())


def flops_counted(shape: ModelConfig) -> int:
    model = Transformer(shape, seed=0)
    ids = torch.zeros(2, shape.sequence_length, dtype=torch.int64)
    # The fused CPU kernel reports no FLOPs at all; plain matrix products do.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        model(ids, torch.arange(shape.sequence_length).repeat(2, 1)).sum().backward()
    return counter.get_total_flops()


@given(shapes())
@settings(max_examples=15)
def test_the_flop_formula_counts_what_torch_counts(shape: ModelConfig) -> None:
    assert flops_counted(shape) == shape.flops_per_token() * 2 * shape.sequence_length


@pytest.mark.parametrize("parts", PARTS)
def test_the_flop_formula_holds_for_every_kind_of_model(parts: str) -> None:
    shape = variant(parts, SMALL)
    assert flops_counted(shape) == shape.flops_per_token() * 2 * shape.sequence_length


def test_a_formula_that_forgets_which_parts_a_shape_has_is_caught() -> None:
    """The twin counts every shape as if it were of the default parts."""
    caught = 0
    for parts in PARTS:
        shape = variant(parts, SMALL)
        plain = replace(SMALL, heads=shape.heads)
        with torch.device("meta"):
            weights = sum(parameter.numel() for parameter in Transformer(shape, seed=0).parameters())
        caught += weights != plain.parameter_count() or flops_counted(shape) != plain.flops_per_token() * 24
    assert caught == len(PARTS) - 2  # LayerNorm without a bias weighs what RMSNorm does


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("layers", 0, "layers is 0"),
        ("heads", 5, "width 64 does not divide into 5 heads"),
        ("heads", 64, "heads of an even size"),
        ("key_value_heads", 0, "2 heads cannot share 0 key-value heads"),
        ("positions", "sinusoidal", "positions is 'sinusoidal', and must be rotary or learned"),
        ("norm", "batch", "norm is 'batch', and must be rms or layer"),
        ("activation", "glu", "activation is 'glu', and must be swiglu or gelu"),
        ("norm_epsilon", 0.0, "norm_epsilon"),
        ("rotary_base", 1.0, "rotary_base"),
    ],
)
def test_a_shape_that_cannot_be_is_refused(field: str, value: float | str, words: str) -> None:
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


@pytest.mark.parametrize(("wished", "nearest"), [(5, 4), (7, 6), (13, 12), (0, 1), (8, 6)])
def test_the_remedy_for_shared_heads_is_the_nearest_number_that_divides(wished: int, nearest: int) -> None:
    shape = replace(PRESETS["tiny"], width=96, heads=12)
    with pytest.raises(InputError) as caught:
        replace(shape, key_value_heads=wished)
    assert caught.value.remedy == f"key_value_heads = {nearest}"
    assert replace(shape, key_value_heads=nearest).key_value_head_count == nearest


def test_learned_positions_need_no_heads_of_an_even_size() -> None:
    assert replace(PRESETS["tiny-classic"], heads=64).head_size == 1


def test_a_shape_of_the_first_version_keeps_its_name() -> None:
    shape = PRESETS["tiny"]
    assert set(shape.to_dict()) == {
        *("vocabulary_size", "sequence_length", "width", "layers", "heads", "feed_forward_width"),
        *("norm_epsilon", "rotary_base"),
    }
    assert shape.hash.startswith("36edc7939aa0")


@given(shapes())
def test_a_shape_comes_back_from_its_fields_and_every_field_names_it(shape: ModelConfig) -> None:
    assert ModelConfig(**shape.to_dict()) == shape
    assert replace(shape, bias=not shape.bias).hash != shape.hash
    assert replace(shape, tied=not shape.tied).hash != shape.hash
