"""A sweep trains what it says, once, and its runs are the trainer's own."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from batchwright.documents.inputs import TextSource
from batchwright.engines.local import LocalExecutor
from batchwright.engines.serial import SerialExecutor
from batchwright.foundation.errors import InputError
from batchwright.measuring import batch_sweep
from batchwright.measuring.batch_sweep import BatchSweep, RunOutcome, run_sweep
from batchwright.model.config import ModelConfig
from batchwright.sequences.index import SequenceIndex
from batchwright.sequences.index_build import build_index
from batchwright.sequences.plan import Plan
from batchwright.tokens.build import prepare_store
from batchwright.tokens.tokenizer import open_tokenizer
from batchwright.training.config import TrainingConfig
from batchwright.training.run_log import read_log
from batchwright.training.trainer import Trainer

MODEL = ModelConfig(vocabulary_size=257, sequence_length=16, width=16, layers=1, heads=2, feed_forward_width=24)
TRAINING = TrainingConfig(
    global_batch_size=4,
    micro_batch_size=4,
    sequence_length=16,
    tokens=3_000,
    learning_rate=4e-3,
    warmup_tokens=300,
    evaluate_sequences=16,
)
SWEEP = BatchSweep(model=MODEL, training=TRAINING, batch_sizes=(1, 4, 16), seeds=(0, 1))
Data = tuple[Plan, SequenceIndex]


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    home = tmp_path_factory.mktemp("text")
    for number in range(60):
        (home / f"{number:02}.txt").write_text(f"Document {number} counts: " + " ".join(map(str, range(number, 80))))
    store = prepare_store(
        [TextSource(name="counting", paths=(str(home),))],
        home.parent / "store",
        tokenizer=open_tokenizer("bytes"),
        executor=SerialExecutor(),
        validation_fraction=0.2,
    )
    train, validation = (build_index(store, sequence_length=16, split=name) for name in ("train", "validation"))
    return Plan.of(train), validation


@pytest.fixture(scope="module")
def finished(data: Data, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[RunOutcome, ...]]:
    output = tmp_path_factory.mktemp("sweep")
    return output, run_sweep(SWEEP, plan=data[0], validation=data[1], output=output, executor=SerialExecutor())


def test_every_batch_size_trains_on_the_same_tokens_with_every_seed(finished: tuple[Path, tuple[RunOutcome, ...]]):
    _, outcomes = finished
    assert [(run.global_batch_size, run.adjusted, run.seed) for run in outcomes] == [
        (1, False, 0),
        (1, False, 1),
        (1, True, 0),
        (1, True, 1),
        (4, False, 0),
        (4, False, 1),
        (16, False, 0),
        (16, False, 1),
        (16, True, 0),
        (16, True, 1),
    ]
    for run in outcomes:
        assert TRAINING.tokens <= run.tokens < TRAINING.tokens + run.tokens_per_step
        assert run.validation_loss is not None
        assert run.validation_loss < run.evaluations[0][1]
        assert run.wall_seconds > 0
        assert run.cpu_seconds > 0
    assert len({run.validation_loss for run in outcomes}) == len(outcomes)


def test_only_the_adjusted_runs_follow_the_rule(finished: tuple[Path, tuple[RunOutcome, ...]]):
    _, outcomes = finished
    for run in outcomes:
        expected = 4e-3 * (run.global_batch_size / 4) ** 0.5 if run.adjusted else 4e-3
        assert run.learning_rate == pytest.approx(expected)


def test_a_run_is_bit_for_bit_the_trainer_s(finished: tuple[Path, tuple[RunOutcome, ...]], data: Data, tmp_path: Path):
    _, outcomes = finished
    *_, run = SWEEP.runs()
    assert (run.training.global_batch_size, run.adjusted, run.training.seed) == (16, True, 1)
    Trainer(
        model_config=MODEL,
        training_config=run.training,
        plan=Plan.of(data[0].index, seed=1),
        run_directory=tmp_path / "run",
        validation=data[1],
    ).run()
    losses = [record["loss"] for record in read_log(tmp_path / "run" / "metrics.jsonl") if record["kind"] == "step"]
    assert tuple(losses) == outcomes[-1].losses


def test_a_finished_sweep_is_not_run_again(
    finished: tuple[Path, tuple[RunOutcome, ...]], data: Data, monkeypatch: pytest.MonkeyPatch
):
    output, outcomes = finished
    monkeypatch.setattr(batch_sweep, "train_once", lambda parameters, prefix: pytest.fail("trained again"))
    reported: list[tuple[int, int]] = []
    again = run_sweep(
        SWEEP,
        plan=data[0],
        validation=data[1],
        output=output,
        executor=SerialExecutor(),
        on_outcome=lambda run, done, total: reported.append((done, total)),
    )
    assert again == outcomes
    assert reported == [(done, 10) for done in range(1, 11)]
    assert not list(output.glob("*.run"))


def test_processes_give_the_same_curves(finished: tuple[Path, tuple[RunOutcome, ...]], data: Data, tmp_path: Path):
    few = replace(SWEEP, batch_sizes=(4, 16), seeds=(1,))
    beside = run_sweep(few, plan=data[0], validation=data[1], output=tmp_path, executor=LocalExecutor(2))
    expected = {(run.global_batch_size, run.adjusted, run.seed): run.losses for run in finished[1]}
    for run in beside:
        assert run.losses == expected[run.global_batch_size, run.adjusted, run.seed]


def test_a_rate_that_makes_the_loss_overflow_is_an_outcome_and_no_crash(data: Data, tmp_path: Path):
    wild = BatchSweep(
        model=MODEL, training=replace(TRAINING, learning_rate=1e30, clip_norm=None), batch_sizes=(4, 16), seeds=(0,)
    )
    outcomes = run_sweep(wild, plan=data[0], validation=data[1], output=tmp_path, executor=SerialExecutor())
    assert all(run.validation_loss is None and run.diverged_at_step == run.steps + 1 for run in outcomes)


def test_a_bundle_scales_more_than_the_rate():
    runs = BatchSweep(
        model=MODEL, training=TRAINING, batch_sizes=(4, 8), seeds=(0,), rule="constant", co_scale=True
    ).runs()
    adjusted = next(run.training for run in runs if run.adjusted)
    assert adjusted.learning_rate == TRAINING.learning_rate
    assert adjusted.epsilon < TRAINING.epsilon
    assert adjusted.weight_decay == pytest.approx(2 * TRAINING.weight_decay)


def test_a_batch_larger_than_the_data_and_a_sweep_of_one_size_are_refused(data: Data, tmp_path: Path):
    huge = BatchSweep(model=MODEL, training=TRAINING, batch_sizes=(4, 10**6), seeds=(0,))
    with pytest.raises(InputError, match="more than the"):
        run_sweep(huge, plan=data[0], validation=data[1], output=tmp_path, executor=SerialExecutor())
    with pytest.raises(InputError, match="two or more batch sizes"):
        BatchSweep(model=MODEL, training=TRAINING, batch_sizes=(4,))
