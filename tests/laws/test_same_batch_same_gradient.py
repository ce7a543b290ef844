"""Law: however a global batch is cut into micro-batches, its loss and gradient are those of the whole batch.

Rows have ragged numbers of targets, down to none, because that is where the well-known accumulation bug (the mean of
micro-batch means) shows; that bug stands here as the broken twin and is caught.
"""

import itertools
from collections.abc import Callable

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from batchwright.model.config import ModelConfig
from batchwright.model.transformer import Transformer
from batchwright.training.config import LossForm
from batchwright.training.objective import Objective, target_count
from batchwright.training.step import StepBatches, accumulate_gradient
from tests.training.fake_steps import FakeMicroBatch, step_of, whole_batch

ROWS = 6
SHAPE = ModelConfig(vocabulary_size=37, sequence_length=12, width=16, layers=2, heads=2, feed_forward_width=24)
BOUND = {torch.float32: 1e-6, torch.float64: 1e-12}
EVERY_CUT = [cut for count in range(ROWS) for cut in itertools.combinations(range(1, ROWS), count)]
Accumulate = Callable[[Transformer, StepBatches, LossForm], float]


def as_built(model: Transformer, batches: StepBatches, loss: LossForm) -> float:
    """The loss per target, the gradient left in the parameters."""
    loss_sum, _ = accumulate_gradient(Objective(model, loss=loss), batches)
    return loss_sum / batches.targets


def mean_of_means(model: Transformer, batches: StepBatches, loss: LossForm) -> float:
    """The broken twin: each micro-batch's own mean, averaged."""
    objective, parts = Objective(model, loss=loss), list(batches)
    total = 0.0
    for batch in parts:
        mean = objective(*objective.tensors_of(batch)) / max(1, target_count(batch)) / len(parts)
        mean.backward()
        total += mean.item()
    return total


def error_of_cut(
    accumulate: Accumulate, batch: FakeMicroBatch, cut: tuple[int, ...], dtype: torch.dtype, loss: LossForm = "chunked"
) -> float:
    """The larger of the relative errors of loss and gradient, against the whole batch at once."""
    found: list[tuple[float, torch.Tensor]] = []
    for cuts, how in (((), as_built), (cut, accumulate)):
        model = Transformer(SHAPE, seed=5, dtype=dtype)
        value = how(model, step_of(batch, cuts), loss)
        gradient = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]).double()
        found.append((value, gradient))
    (whole_loss, whole), (cut_loss, pieces) = found
    return max(abs(cut_loss / whole_loss - 1), float((pieces - whole).norm() / whole.norm()))


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_cut_gives_the_loss_and_gradient_of_the_whole(dtype: torch.dtype) -> None:
    batch = whole_batch(11, ROWS, 12, 37)
    batch.loss_mask[3] = False  # a row without any target, as filler is
    assert len(EVERY_CUT) == 2 ** (ROWS - 1)
    assert max(error_of_cut(as_built, batch, cut, dtype) for cut in EVERY_CUT) <= BOUND[dtype]


@given(seed=st.integers(0, 10**6), cut=st.sampled_from(EVERY_CUT), loss=st.sampled_from(["chunked", "whole"]))
@settings(max_examples=25)
@example(seed=0, cut=(1, 2, 3, 4, 5), loss="whole")
def test_any_batch_and_cut_agree_in_both_precisions_and_both_forms_of_the_loss(
    seed: int, cut: tuple[int, ...], loss: LossForm
) -> None:
    batch = whole_batch(seed, ROWS, 12, 37)
    for dtype, bound in BOUND.items():
        assert error_of_cut(as_built, batch, cut, dtype, loss) <= bound


def test_the_two_forms_of_the_loss_agree() -> None:
    batch = step_of(whole_batch(4, ROWS, 12, 37), (2,))
    found: list[tuple[float, torch.Tensor]] = []
    for form in ("chunked", "whole"):
        model = Transformer(SHAPE, seed=5, dtype=torch.float64)
        value = as_built(model, batch, form)
        found.append((value, torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-12)
    assert float((found[0][1] - found[1][1]).norm() / found[1][1].norm()) <= 1e-12


def test_the_mean_of_means_is_caught() -> None:
    batch = whole_batch(11, ROWS, 12, 37)
    assert error_of_cut(mean_of_means, batch, (2, 3), torch.float64) > 1e-2


def test_and_only_ragged_rows_can_catch_it() -> None:
    full = whole_batch(11, ROWS, 12, 37, ragged=False)
    assert error_of_cut(mean_of_means, full, (2, 4), torch.float64) <= 1e-12
