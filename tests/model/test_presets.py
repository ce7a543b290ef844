"""Shapes by name have the sizes that their sources say."""

from dataclasses import replace

import pytest
import torch

from batchwright.foundation.errors import InputError
from batchwright.model.presets import PRESETS, preset
from batchwright.model.transformer import Transformer

PUBLISHED = {  # weights of the released models, biases and positions included
    "gpt2-124m-classic": 124_439_808,
    "gpt2-355m-classic": 354_823_168,
    "gpt2-774m-classic": 774_030_080,
    "gpt2-1558m-classic": 1_557_611_200,
    "llama-7b": 6_738_415_616,
    "llama-1b": 1_235_814_400,
    "llama-3b": 3_212_749_824,
    "llama-8b": 8_030_261_248,
    "llama-70b": 70_553_706_496,
}
GPT3 = {  # n_params of table 2.1
    "gpt3-small": 125e6,
    "gpt3-medium": 350e6,
    "gpt3-large": 760e6,
    "gpt3-xl": 1.3e9,
    "gpt3-2.7b": 2.7e9,
    "gpt3-6.7b": 6.7e9,
    "gpt3-13b": 13.0e9,
    "gpt3-175b": 175.0e9,
}


@pytest.mark.parametrize("name", PRESETS)
def test_the_formula_of_a_preset_is_its_module(name: str) -> None:
    shape = replace(PRESETS[name], layers=2)  # every further layer is the same again
    with torch.device("meta"):
        built = sum(parameter.numel() for parameter in Transformer(shape, seed=0).parameters())
    assert shape.parameter_count() == built


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_model_that_was_released_has_its_weights(name: str) -> None:
    assert PRESETS[name].parameter_count() == PUBLISHED[name]


@pytest.mark.parametrize("name", GPT3)
def test_a_shape_of_table_2_1_has_about_the_weights_it_is_named_for(name: str) -> None:
    assert PRESETS[name].parameter_count() == pytest.approx(GPT3[name], rel=0.02)
    assert PRESETS[name].sequence_length == 2048


def test_the_largest_is_built_whole() -> None:
    with torch.device("meta"):
        built = sum(parameter.numel() for parameter in Transformer(PRESETS["gpt3-175b"], seed=0).parameters())
    assert built == PRESETS["gpt3-175b"].parameter_count() == 174_604_259_328


def test_small_presets_are_small() -> None:
    assert 120e6 < PRESETS["gpt2-124m"].parameter_count() < 125e6
    assert preset("tiny").parameter_count() <= 300_000
    assert 0.9e6 < preset("tiny-1m").parameter_count() < 1.1e6
    assert preset("tiny", vocabulary_size=257, sequence_length=64) == replace(
        PRESETS["tiny"], vocabulary_size=257, sequence_length=64
    )


def test_an_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(InputError) as caught:
        preset("tinny")
    assert caught.value.remedy is not None
    assert caught.value.remedy.startswith("did you mean 'tiny'? known: tiny, tiny-classic, ")
