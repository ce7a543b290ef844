"""Law 9: every closed form (parameters, FLOPs, bytes) is the real module's or the real step's number.

Each comparison also runs against a broken twin of the form, the mistake that is easiest to make, and must catch it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from batchwright.measuring.step_trace import trace_step
from batchwright.model import isolation
from batchwright.model import loss as real_loss
from batchwright.model.config import ModelConfig
from batchwright.model.transformer import Transformer
from batchwright.planning import moments
from batchwright.planning.memory import StepMemory, step_memory
from batchwright.planning.moments import LossForm, StepArithmetic, chunk_slots

BYTES_TOLERANCE = 16  # scalars of the loss that come and go
SHAPES = st.builds(
    lambda heads, half, **given: ModelConfig(heads=heads, width=2 * half * heads, **given),
    heads=st.integers(1, 4),
    half=st.integers(1, 16),
    vocabulary_size=st.integers(2, 1500),
    sequence_length=st.integers(2, 96),
    layers=st.integers(1, 3),
    feed_forward_width=st.integers(1, 120),
)


def built(config: ModelConfig) -> Transformer:
    """The real module; without storage, since only its shapes are asked for."""
    with torch.device("meta"):
        return Transformer(config, seed=0)


# Parameters


def parameters_agree(count: Callable[[ModelConfig], int], config: ModelConfig) -> bool:
    return count(config) == sum(parameter.numel() for parameter in built(config).parameters())


@given(config=SHAPES)
@settings(max_examples=40)
def test_the_parameter_count_is_the_module_s(config: ModelConfig):
    assert parameters_agree(ModelConfig.parameter_count, config)


def test_a_count_that_holds_the_tied_table_twice_is_caught():
    def twice(config: ModelConfig) -> int:
        return config.parameter_count() + config.vocabulary_size * config.width

    config = ModelConfig(vocabulary_size=11, sequence_length=8, width=8, layers=1, heads=2, feed_forward_width=8)
    assert not parameters_agree(twice, config)


# FLOPs


def flops_agree(per_token: Callable[[ModelConfig, int], int], config: ModelConfig, rows: int, length: int) -> bool:
    """Torch's own counter over forward and backward, with the attention kernel whose products it can see."""
    model = Transformer(config, seed=0)
    ids = torch.zeros(rows, length, dtype=torch.long)
    positions = torch.arange(length).expand(rows, length)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(ids, positions).sum().backward()
    return counter.get_total_flops() == per_token(config, length) * rows * length


@given(config=SHAPES, rows=st.integers(1, 3), length=st.integers(2, 40))
@settings(max_examples=20)
def test_the_flops_per_token_are_those_torch_counts(config: ModelConfig, rows: int, length: int):
    assert flops_agree(ModelConfig.flops_per_token, config, rows, length)


def test_a_count_that_forgets_attention_is_caught():
    def without_attention(config: ModelConfig, length: int) -> int:
        return config.flops_per_token(length) - 12 * config.layers * config.width * length

    config = ModelConfig(vocabulary_size=50, sequence_length=32, width=16, layers=2, heads=2, feed_forward_width=24)
    assert flops_agree(ModelConfig.flops_per_token, config, 2, 32)
    assert not flops_agree(without_attention, config, 2, 32)


# Bytes


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step to be predicted and to be done."""

    config: ModelConfig
    rows: int
    micro_batches: int
    observed: bool
    isolate: bool
    loss: LossForm
    double: bool

    def predicted(self) -> StepMemory:
        return step_memory(
            self.config,
            micro_batch_size=self.rows,
            accumulates=self.micro_batches > 1,
            observed=self.observed,
            isolate=self.isolate,
            loss=self.loss,
            item_bytes=8 if self.double else 4,
        )

    def traced_bytes(self) -> int:
        return trace_step(
            self.config,
            micro_batch_size=self.rows,
            micro_batches=self.micro_batches,
            observed=self.observed,
            isolate=self.isolate,
            loss=self.loss,
            dtype=torch.float64 if self.double else torch.float32,
        ).peak_bytes


STEPS = st.builds(
    Step,
    config=SHAPES,
    rows=st.integers(1, 9),
    micro_batches=st.integers(1, 3),
    observed=st.booleans(),
    isolate=st.booleans(),
    loss=st.sampled_from(["chunked", "whole"]),
    double=st.booleans(),
)
MIDDLE = ModelConfig(vocabulary_size=700, sequence_length=64, width=32, layers=3, heads=2, feed_forward_width=48)
GRID = [
    Step(
        config=replace(MIDDLE, **changed),
        rows=rows,
        micro_batches=count,
        observed=False,
        isolate=isolate,
        loss=loss,
        double=False,
    )
    for changed, rows, count, isolate, loss in (
        ({}, 8, 1, True, "whole"),
        ({}, 8, 2, False, "chunked"),
        ({"vocabulary_size": 4096}, 16, 2, True, "chunked"),  # the logits come in four chunks
        ({"vocabulary_size": 4096}, 1, 1, True, "whole"),  # the table's gradients outweigh the logits
        ({"vocabulary_size": 64, "feed_forward_width": 256}, 4, 1, True, "whole"),  # the peak lies in a layer
        ({"sequence_length": 256, "width": 16}, 4, 1, True, "chunked"),  # the mask outweighs the rows
        ({"sequence_length": 4}, 1, 3, True, "chunked"),  # hardly anything but weights
    )
]


@given(step=STEPS)
@settings(max_examples=25)
def test_the_closed_form_is_the_bytes_of_the_real_step(step: Step):
    assert abs(step.predicted().peak_bytes - step.traced_bytes()) <= BYTES_TOLERANCE


@pytest.mark.parametrize("step", GRID)
def test_the_closed_form_holds_wherever_the_peak_lies(step: Step):
    assert abs(step.predicted().peak_bytes - step.traced_bytes()) <= BYTES_TOLERANCE


@contextmanager
def documents_kept_apart_by_segments() -> Iterator[None]:
    """As above the limit of the mask, where a traced step would take minutes."""
    with patch.object(moments, "MASKED_LENGTH_LIMIT", 1), patch.object(isolation, "MASKED_LENGTH_LIMIT", 1):
        yield


@given(step=STEPS)
@settings(max_examples=15)
def test_the_closed_form_holds_without_a_mask(step: Step):
    with documents_kept_apart_by_segments():
        assert abs(step.predicted().peak_bytes - step.traced_bytes()) <= BYTES_TOLERANCE


def test_forgetting_that_the_segments_outputs_are_joined_is_caught():
    with documents_kept_apart_by_segments():
        assert not _with("joined", lambda elements: 0)


@pytest.mark.parametrize("fake", [False, True])
def test_the_closed_form_holds_just_above_the_limit_of_the_mask(fake: bool):
    config = replace(MIDDLE, sequence_length=moments.MASKED_LENGTH_LIMIT + 1)
    traced = trace_step(config, micro_batch_size=2, fake=fake).peak_bytes
    assert abs(step_memory(config, micro_batch_size=2).peak_bytes - traced) <= BYTES_TOLERANCE


def test_the_limit_of_the_mask_is_one_number():
    assert moments.MASKED_LENGTH_LIMIT == isolation.MASKED_LENGTH_LIMIT
    at, above = (step_memory(replace(MIDDLE, sequence_length=n), micro_batch_size=1) for n in (256, 257))
    assert at.peak.parts["attention_mask"] > 0 == above.peak.parts["attention_mask"]


def test_the_grid_reaches_peaks_in_different_phases():
    assert {step.predicted().peak.phase for step in GRID} >= {"loss", "backward"}


def _with(names: str, change: Callable[[object], object]) -> bool:
    """Whether every step of the grid still agrees when one piece of the arithmetic is changed."""
    original = getattr(StepArithmetic, names)
    with patch.object(StepArithmetic, names, property(lambda self: change(original.fget(self)))):
        return all(abs(step.predicted().peak_bytes - step.traced_bytes()) <= BYTES_TOLERANCE for step in GRID[:3])


def test_a_layer_that_forgets_what_its_norms_keep_is_caught():
    assert not _with("saved_per_layer", lambda elements: elements - 4 * MIDDLE.width)


def test_one_phase_taken_for_the_whole_step_is_caught():
    """The twin of most published forms: everything peaks in the loss."""
    missed = 0
    for step in GRID:
        in_loss = step.predicted().phase_peaks["loss"]
        missed += abs(in_loss - step.traced_bytes()) > BYTES_TOLERANCE
    assert missed >= 2


@pytest.mark.parametrize("vocabulary_size", [2, 257, 2047, 2048, 2049, 50257, 200_000])
def test_the_chunk_of_the_form_is_the_chunk_of_the_loss(vocabulary_size: int):
    assert chunk_slots(vocabulary_size) == real_loss.chunk_slots(vocabulary_size)
