"""A model that is not ours trains through the same trainer: it learns, resumes bit for bit, its checkpoints name it."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from batchwright.foundation.errors import InputError
from batchwright.measuring.noise_monitor import NoiseMonitor
from batchwright.model.config import ModelConfig
from batchwright.model.description import FunctionModel, ModelDescription
from batchwright.sequences.index import SequenceIndex
from batchwright.sequences.plan import Plan
from batchwright.training.checkpoint import load_model
from batchwright.training.config import TrainingConfig
from batchwright.training.run_log import read_log
from batchwright.training.trainer import Trainer
from tests.training.counting_store import VOCABULARY, counting_indexes

MODEL = FunctionModel(
    function="tests.model.by_function:build",
    vocabulary_size=VOCABULARY,
    sequence_length=16,
    arguments={"kind": "WithHidden", "width": 24},
)
TRAINING = TrainingConfig(
    global_batch_size=6,
    micro_batch_size=3,
    sequence_length=16,
    tokens=30 * 6 * 16,
    learning_rate=2e-2,
    checkpoint_every_tokens=700,
    threads=1,
)
Indexes = tuple[SequenceIndex, SequenceIndex]


@pytest.fixture(scope="module")
def indexes(tmp_path_factory: pytest.TempPathFactory) -> Indexes:
    return counting_indexes(tmp_path_factory.mktemp("store"))


def trainer(directory: Path, indexes: Indexes, model: ModelDescription = MODEL, **options: object) -> Trainer:
    return Trainer(
        model_config=model,
        training_config=TRAINING,
        plan=Plan.of(indexes[0]),
        run_directory=directory,
        validation=indexes[1],
        **options,  # type: ignore[arg-type]
    )


def losses(directory: Path) -> list[float]:
    return [record["loss"] for record in read_log(directory / "metrics.jsonl")]


def test_a_function_s_model_learns_and_resumes_as_if_never_interrupted(indexes: Indexes, tmp_path: Path) -> None:
    monitor = NoiseMonitor()
    whole = trainer(tmp_path / "whole", indexes, observers=[monitor]).run()
    for until_step in (7, 8, None):
        result = trainer(tmp_path / "pieces", indexes).run(until_step=until_step)
    assert result.resumed_from == 8
    curve = losses(tmp_path / "whole")
    assert curve == losses(tmp_path / "pieces")
    assert curve[-1] < curve[0] - 1
    assert all(torch.equal(a, b) for a, b in zip(whole.model.parameters(), result.model.parameters(), strict=True))
    assert monitor.steps == 30


def test_the_loss_of_scores_alone_is_that_of_hidden_vectors(indexes: Indexes, tmp_path: Path) -> None:
    scores_alone = replace(MODEL, arguments={**MODEL.arguments, "kind": "OneLayer"})
    trainer(tmp_path / "hidden", indexes).run(until_step=5)
    trainer(tmp_path / "scores", indexes, scores_alone).run(until_step=5)
    assert losses(tmp_path / "hidden") == pytest.approx(losses(tmp_path / "scores"), rel=1e-5)


def test_a_checkpoint_of_another_model_is_refused_by_name_and_never_runs_code_by_itself(
    indexes: Indexes, tmp_path: Path
) -> None:
    trainer(tmp_path, indexes).run(until_step=2)
    checkpoint = tmp_path / "checkpoints" / "step-2"
    with pytest.raises(InputError, match=r"model\.arguments.width: 24 there, 16 here"):
        trainer(tmp_path, indexes, replace(MODEL, arguments={"kind": "WithHidden", "width": 16})).run()
    with pytest.raises(InputError, match=r"model\.function: 'tests.*build' there, None here"):
        trainer(
            tmp_path,
            indexes,
            ModelConfig(
                vocabulary_size=VOCABULARY, sequence_length=16, width=16, layers=1, heads=2, feed_forward_width=24
            ),
        ).run()
    with pytest.raises(InputError, match="only its owner may have run"):
        load_model(checkpoint)
    with pytest.raises(InputError, match="vocabulary_size: 61 there, 62 here"):
        load_model(checkpoint, replace(MODEL, vocabulary_size=62))
    assert load_model(checkpoint, MODEL).embedding.weight.shape == (VOCABULARY, 24)


def test_a_foreign_model_that_leaks_is_refused_before_its_first_step(indexes: Indexes, tmp_path: Path) -> None:
    leaking = replace(MODEL, function="tests.model.by_function:leaking", arguments={})
    with pytest.raises(InputError, match="sees its neighbour"):
        trainer(tmp_path, indexes, leaking).run()
    with pytest.raises(InputError, match="the model knows 60 ids, the store holds 61"):
        trainer(tmp_path, indexes, replace(MODEL, vocabulary_size=60))
