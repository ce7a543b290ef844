"""The held-out loss is a mean over tokens, whatever the batches."""

import math

import pytest
import torch

from batchwright.foundation.errors import InputError
from batchwright.model.config import ModelConfig
from batchwright.model.transformer import Transformer
from batchwright.training.evaluation import evaluate
from batchwright.training.objective import Objective
from tests.training.fake_steps import step_of, whole_batch

MODEL = Transformer(
    ModelConfig(vocabulary_size=37, sequence_length=12, width=16, layers=1, heads=2, feed_forward_width=24), seed=1
)


def test_the_loss_does_not_depend_on_how_the_rows_are_batched() -> None:
    batch = whole_batch(3, 6, 12, 37)
    results = [evaluate(Objective(MODEL), step_of(batch, cuts), bytes_per_token=3.0) for cuts in ((), (1, 4), (2,))]
    assert len({result.targets for result in results}) == 1
    assert [r.loss for r in results] == pytest.approx([results[0].loss] * 3, rel=1e-6)
    assert results[0].bits_per_byte == pytest.approx(results[0].loss / math.log(2) / 3)
    assert evaluate(Objective(MODEL), step_of(batch)).bits_per_byte is None


def test_it_leaves_no_gradient_behind() -> None:
    evaluate(Objective(MODEL), step_of(whole_batch(3, 6, 12, 37)))
    assert all(parameter.grad is None for parameter in MODEL.parameters())
    assert torch.is_grad_enabled()


def test_without_a_target_there_is_nothing_to_evaluate() -> None:
    batch = whole_batch(3, 2, 12, 37)
    batch.loss_mask[:] = False
    with pytest.raises(InputError, match="no held-out target"):
        evaluate(Objective(MODEL), step_of(batch))
