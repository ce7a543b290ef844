"""One update: the loss falls from ln V, observers see the parts and change nothing, trouble is named."""

import math
from collections.abc import Mapping

import numpy as np
import pytest
import torch

from batchwright.foundation.errors import InputError, ResourceError
from batchwright.model.config import ModelConfig
from batchwright.model.transformer import Transformer
from batchwright.training.config import TrainingConfig
from batchwright.training.hyper_parameters import HyperParameters
from batchwright.training.objective import Objective
from batchwright.training.optimizer import build_optimizer
from batchwright.training.step import DivergedError, StepRecord, accumulate_gradient, train_step
from tests.training.fake_steps import step_of, whole_batch

SHAPE = ModelConfig(vocabulary_size=61, sequence_length=16, width=16, layers=2, heads=2, feed_forward_width=24)
TRAINING = TrainingConfig(
    global_batch_size=8, micro_batch_size=4, sequence_length=16, tokens=10_000, learning_rate=1e-2, weight_decay=0.0
)


def train(
    steps: int, *, observers: tuple["Watcher", ...] = (), cuts: tuple[int, ...] = (4,)
) -> tuple[Transformer, list[StepRecord]]:
    model = Transformer(SHAPE, seed=1)
    optimizer = build_optimizer(model, TRAINING)
    records: list[StepRecord] = []
    for step in range(1, steps + 1):
        batches = step_of(whole_batch(step, 8, 16, 61), cuts, first_position=8 * (step - 1))
        tokens = records[-1].tokens if records else 0
        records.append(
            train_step(
                Objective(model),
                optimizer,
                batches,
                step=step,
                tokens_before=tokens,
                hyper_parameters=HyperParameters(learning_rate=1e-2),
                observers=observers,
            )
        )
    return model, records


class Watcher:
    """Keeps the squared norm of each micro-batch's own mean gradient, and sums the shares."""

    def __init__(self) -> None:
        self.norms: list[float] = []
        self.targets: list[int] = []
        self.whole: dict[str, torch.Tensor] = {}
        self.records: list[StepRecord] = []

    def wants(self, step: int) -> bool:
        return step % 2 == 1

    def on_micro_batch(self, gradients: Mapping[str, torch.Tensor], targets: int, step_targets: int) -> None:
        scale = step_targets / targets
        self.norms.append(sum(float(g.square().sum()) for g in gradients.values()) * scale**2)
        self.targets.append(targets)
        for name, gradient in gradients.items():
            self.whole[name] = self.whole.get(name, torch.zeros_like(gradient)) + gradient

    def on_step(self, record: StepRecord) -> None:
        self.records.append(record)


def test_the_loss_falls_from_about_the_logarithm_of_the_vocabulary() -> None:
    _, records = train(60)
    assert abs(records[0].loss - math.log(61)) < 0.5
    assert records[-1].loss < records[0].loss - 1.0
    assert records[-1].tokens == 60 * 8 * 16


def test_observers_do_not_change_a_single_bit() -> None:
    watcher = Watcher()
    plain, plain_records = train(5, cuts=(2, 5))
    watched, watched_records = train(5, observers=(watcher,), cuts=(2, 5))
    assert [r.loss for r in plain_records] == [r.loss for r in watched_records]
    for a, b in zip(plain.parameters(), watched.parameters(), strict=True):
        assert torch.equal(a, b)
    assert len(watcher.records) == 5
    assert len(watcher.norms) == 9  # three micro-batches in steps 1, 3 and 5


def test_a_watcher_sees_each_micro_batchs_own_gradient_and_their_sum_is_the_steps() -> None:
    watcher = Watcher()
    _, records = train(1, observers=(watcher,), cuts=(3, 6))
    whole = math.sqrt(sum(float(g.square().sum()) for g in watcher.whole.values()))
    assert whole == pytest.approx(records[0].gradient_norm, rel=1e-5)
    batch = whole_batch(1, 8, 16, 61)
    alone = Transformer(SHAPE, seed=1)
    accumulate_gradient(Objective(alone), step_of(step_of(batch, (3, 6)).micro_batches[1]))
    norm = sum(float(p.grad.square().sum()) for p in alone.parameters() if p.grad is not None)
    assert watcher.norms[1] == pytest.approx(norm, rel=1e-4)


def test_a_batch_without_any_target_is_refused_with_its_place() -> None:
    batch = whole_batch(0, 2, 16, 61)
    batch.loss_mask[:] = False
    model = Transformer(SHAPE, seed=1)
    with pytest.raises(InputError, match="no slot of this batch holds a target") as caught:
        train_step(
            Objective(model),
            build_optimizer(model, TRAINING),
            step_of(batch, first_position=40),
            step=6,
            tokens_before=0,
            hyper_parameters=HyperParameters(learning_rate=1.0),
        )
    assert caught.value.where == "step 6, positions 40 to 41"


def test_a_loss_that_is_no_number_names_step_and_positions_and_leaves_the_weights_alone() -> None:
    model = Transformer(SHAPE, seed=1)
    with torch.no_grad():
        model.embedding.weight[3, 0] = float("nan")
    before = [p.detach().clone() for p in model.parameters()]
    with pytest.raises(DivergedError) as caught:
        train_step(
            Objective(model),
            build_optimizer(model, TRAINING),
            step_of(whole_batch(0, 4, 16, 61), first_position=12),
            step=4,
            tokens_before=0,
            hyper_parameters=HyperParameters(learning_rate=1.0),
        )
    assert "step 4, positions 12 to 15" in str(caught.value)
    for a, b in zip(before, model.parameters(), strict=True):
        np.testing.assert_array_equal(a.numpy(), b.detach().numpy())


def test_out_of_memory_names_the_geometry_and_a_smaller_micro_batch() -> None:
    class Hungry(Transformer):
        def hidden(self, ids: torch.Tensor, position_ids: torch.Tensor, **how: object) -> torch.Tensor:
            return torch.empty(1 << 60)

    model = Hungry(SHAPE, seed=1)
    with pytest.raises(ResourceError, match="micro-batch of 8 sequences × 16 tokens") as caught:
        accumulate_gradient(Objective(model), step_of(whole_batch(0, 8, 16, 61)))
    assert caught.value.remedy is not None
    assert caught.value.remedy.startswith("micro_batch_size = 4")
