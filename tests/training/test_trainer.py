"""A run directory, its log and its checkpoints: resume is no interruption, and what does not belong is named."""

import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from batchwright.foundation.errors import CorruptDataError, InputError, LockedError
from batchwright.foundation.files import WriterLock
from batchwright.model.config import ModelConfig
from batchwright.sequences.index import SequenceIndex
from batchwright.sequences.plan import Plan
from batchwright.sequences.stage import Source, Stage
from batchwright.training.checkpoint import load_model
from batchwright.training.config import TrainingConfig
from batchwright.training.evaluation import Evaluation
from batchwright.training.hyper_parameters import HyperParameterRule, HyperParameters
from batchwright.training.run_log import read_log, without_measured
from batchwright.training.step import StepRecord
from batchwright.training.trainer import RunResult, Trainer
from tests.training.counting_store import VOCABULARY, counting_indexes

MODEL = ModelConfig(vocabulary_size=VOCABULARY, sequence_length=16, width=16, layers=2, heads=2, feed_forward_width=24)
TRAINING = TrainingConfig(
    global_batch_size=6,
    micro_batch_size=4,
    sequence_length=16,
    tokens=40 * 6 * 16,
    learning_rate=1e-2,
    warmup_tokens=400,
    evaluate_every_tokens=1_000,
    checkpoint_every_tokens=700,
    threads=1,
)
Indexes = tuple[SequenceIndex, SequenceIndex]


@pytest.fixture(scope="module")
def indexes(tmp_path_factory: pytest.TempPathFactory) -> Indexes:
    return counting_indexes(tmp_path_factory.mktemp("store"))


def trainer(
    directory: Path,
    indexes: Indexes,
    *,
    model: ModelConfig = MODEL,
    training: TrainingConfig = TRAINING,
    seed: int = 0,
    rule: HyperParameterRule | None = None,
    on_record: Callable[[StepRecord | Evaluation], None] | None = None,
) -> Trainer:
    return Trainer(
        model_config=model,
        training_config=training,
        plan=Plan.of(indexes[0], seed=seed),
        run_directory=directory,
        validation=indexes[1],
        validation_bytes_per_token=2.0,
        hyper_parameters=rule,
        on_record=on_record,
    )


def curve(directory: Path) -> list[dict[str, object]]:
    """The log without the fields that a clock or a gauge writes."""
    return without_measured(read_log(directory / "metrics.jsonl"))


def weights(directory: Path) -> dict[str, torch.Tensor]:
    newest = max((directory / "checkpoints").iterdir(), key=lambda path: int(path.name.split("-")[1]))
    return load_model(newest).state_dict()


def same_weights(a: Path, b: Path) -> bool:
    left, right = weights(a), weights(b)
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


@pytest.fixture(scope="module")
def uninterrupted(indexes: Indexes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("uninterrupted") / "run"
    result = trainer(directory, indexes).run()
    assert (result.reason, result.step, result.resumed_from) == ("finished", 40, None)
    return directory


def test_the_log_holds_every_step_once_and_the_loss_falls(uninterrupted: Path) -> None:
    records = curve(uninterrupted)
    steps = [record for record in records if record["kind"] == "step"]
    assert [record["step"] for record in steps] == list(range(1, 41))
    assert [record["first_position"] for record in steps] == list(range(0, 240, 6))
    assert steps[-1]["tokens"] == 40 * 6 * 16
    losses = [record["loss"] for record in records if record["kind"] == "evaluation"]
    assert len(losses) == 5  # at the start, after 1,000, 2,000 and 3,000 tokens, at the end
    assert float(str(losses[-1])) < float(str(losses[0])) - 0.5
    assert len({record["certificate"] for record in steps}) == 40


def test_only_the_newest_checkpoints_stay(uninterrupted: Path) -> None:
    names = sorted(path.name for path in (uninterrupted / "checkpoints").iterdir())
    assert len(names) == TRAINING.keep_checkpoints
    assert "step-40" in names


@pytest.mark.parametrize("pauses", [(1,), (17,), (5, 6, 30)], ids=["one step in", "in the middle", "three times"])
def test_resume_is_no_interruption(
    indexes: Indexes, uninterrupted: Path, tmp_path: Path, pauses: tuple[int, ...]
) -> None:
    for pause in pauses:
        assert trainer(tmp_path, indexes).run(until_step=pause).reason == "paused"
    result = trainer(tmp_path, indexes).run()
    assert (result.reason, result.resumed_from) == ("finished", pauses[-1])
    assert curve(tmp_path) == curve(uninterrupted)
    assert same_weights(tmp_path, uninterrupted)


def test_steps_after_the_last_checkpoint_are_replayed_and_the_log_is_cut(
    indexes: Indexes, uninterrupted: Path, tmp_path: Path
) -> None:
    class PowerCut(Exception):
        pass

    def cut(record: StepRecord | Evaluation) -> None:
        if record.step == 27:
            raise PowerCut

    with pytest.raises(PowerCut):
        trainer(tmp_path, indexes, on_record=cut).run()
    with (tmp_path / "metrics.jsonl").open("ab") as log:
        log.write(b'{"kind":"step","ste')  # what a kill in the middle of a write leaves
    assert trainer(tmp_path, indexes).run().resumed_from == 22
    assert curve(tmp_path) == curve(uninterrupted)
    assert same_weights(tmp_path, uninterrupted)


def test_a_finished_run_has_nothing_left_to_do(indexes: Indexes, uninterrupted: Path) -> None:
    before = (uninterrupted / "metrics.jsonl").read_bytes()
    result = trainer(uninterrupted, indexes).run()
    assert (result.reason, result.resumed_from, result.last_step) == ("finished", 40, None)
    assert (uninterrupted / "metrics.jsonl").read_bytes() == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_polite_signal_ends_with_a_checkpoint(
    indexes: Indexes, uninterrupted: Path, tmp_path: Path, number: signal.Signals
) -> None:
    def ask(record: StepRecord | Evaluation) -> None:
        if isinstance(record, StepRecord) and record.step == 9:
            os.kill(os.getpid(), number)

    result = trainer(tmp_path, indexes, on_record=ask).run()
    assert (result.reason, result.step) == ("interrupted", 9)
    assert (tmp_path / "checkpoints" / "step-9").is_dir()
    trainer(tmp_path, indexes).run()
    assert curve(tmp_path) == curve(uninterrupted)


def test_the_micro_batch_may_change_at_a_resume(indexes: Indexes, uninterrupted: Path, tmp_path: Path) -> None:
    trainer(tmp_path, indexes).run(until_step=8)
    result = trainer(tmp_path, indexes, training=replace(TRAINING, micro_batch_size=2)).run()
    assert result.resumed_from == 8
    ours, theirs = curve(tmp_path), curve(uninterrupted)
    assert [r.get("certificate") for r in ours] == [r.get("certificate") for r in theirs]
    assert [r["loss"] for r in ours] == pytest.approx([r["loss"] for r in theirs], rel=1e-3)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"model": replace(MODEL, layers=1)}, "model.layers: 2 there, 1 here"),
        ({"training": replace(TRAINING, learning_rate=0.5)}, "training.learning_rate: 0.01 there, 0.5 here"),
        ({"seed": 5}, "seed: 0 there, 5 here"),
    ],
    ids=["model", "recipe", "plan"],
)
def test_a_checkpoint_of_another_run_is_refused_by_name(
    indexes: Indexes, uninterrupted: Path, change: dict[str, object], named: str
) -> None:
    with pytest.raises(InputError) as caught:
        trainer(uninterrupted, indexes, **change).run()  # type: ignore[arg-type]
    assert named in str(caught.value)


def test_a_checkpoint_of_another_store_is_refused(indexes: Indexes, uninterrupted: Path, tmp_path: Path) -> None:
    other = counting_indexes(tmp_path / "other", documents=61)
    with pytest.raises(InputError, match="another plan"):
        trainer(uninterrupted, other).run()


def test_a_vocabulary_smaller_than_the_stores_is_refused(indexes: Indexes, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the model knows 60 ids, the store holds 61"):
        trainer(tmp_path, indexes, model=replace(MODEL, vocabulary_size=60))


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors"])
def test_a_flipped_bit_in_a_checkpoint_is_found(
    indexes: Indexes, uninterrupted: Path, tmp_path: Path, name: str
) -> None:
    run = tmp_path / "run"
    shutil.copytree(uninterrupted, run)
    path = run / "checkpoints" / "step-40" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(CorruptDataError, match="checksum") as caught:
        trainer(run, indexes).run()
    assert caught.value.remedy == "remove step-40 to go on from the checkpoint before it"
    shutil.rmtree(run / "checkpoints" / "step-40")
    trainer(run, indexes).run()
    assert curve(run) == curve(uninterrupted)


def test_a_shortened_log_is_refused(indexes: Indexes, uninterrupted: Path, tmp_path: Path) -> None:
    shutil.copytree(uninterrupted, tmp_path / "run")
    (tmp_path / "run" / "metrics.jsonl").write_bytes(b"")
    with pytest.raises(CorruptDataError, match="the log has 0 bytes"):
        trainer(tmp_path / "run", indexes).run()


def test_two_trainers_do_not_share_a_directory(indexes: Indexes, tmp_path: Path) -> None:
    with WriterLock(tmp_path), pytest.raises(LockedError):
        trainer(tmp_path, indexes).run()


def mixed_plan(indexes: Indexes, directory: Path) -> Plan:
    other = counting_indexes(directory, documents=30)[0]
    return Plan.mix(
        [Source(name="first", index=indexes[0], weight=3), Source(name="second", index=other, weight=1)], seed=2
    )


RAMPED = replace(TRAINING, global_batch_size=9, ramp="linear", ramp_from=3, ramp_tokens=1500, tokens=4000)


def test_a_ramp_over_a_mixture_resumes_as_if_never_interrupted(indexes: Indexes, tmp_path: Path) -> None:
    def run(directory: Path, until_step: int | None = None) -> RunResult:
        plan = mixed_plan(indexes, tmp_path / "other")
        return Trainer(
            model_config=MODEL,
            training_config=RAMPED,
            plan=plan,
            run_directory=directory,
            validation=indexes[1],
            validation_bytes_per_token=2.0,
        ).run(until_step=until_step)

    whole = run(tmp_path / "whole")
    for until_step in (2, 9, None):
        run(tmp_path / "pieces", until_step)
    assert curve(tmp_path / "pieces") == curve(tmp_path / "whole")
    steps = [record for record in curve(tmp_path / "whole") if record["kind"] == "step"]
    sizes = [int(str(record["sequences"])) for record in steps]
    assert sizes[0] == 3
    assert sizes == sorted(sizes)
    assert sizes[-1] == 9
    assert sum(sizes) * 16 == whole.tokens
    assert 4000 <= whole.tokens < 4000 + 9 * 16


def test_a_run_goes_on_under_a_plan_that_only_appended(indexes: Indexes, tmp_path: Path) -> None:
    def run(plan: Plan, until_step: int | None = None) -> RunResult:
        return Trainer(model_config=MODEL, training_config=TRAINING, plan=plan, run_directory=tmp_path / "run").run(
            until_step=until_step
        )

    plan = Plan.of(indexes[0])
    run(plan, 5)
    result = run(plan.skip(30, 50).append(replace_sources(mixed_plan(indexes, tmp_path / "other"), 60)))
    assert result.reason == "finished"
    steps = [record for record in curve(tmp_path / "run") if record["kind"] == "step"]
    assert [record["first_position"] for record in steps[4:7]] == [24, 50, 56]


def replace_sources(plan: Plan, first_position: int) -> Stage:
    return Stage(first_position=first_position, seed=0, sources=plan.stage.sources)


def test_what_the_budget_or_the_model_cannot_do_is_refused_before_the_run(indexes: Indexes, tmp_path: Path) -> None:
    capped = Plan.mix([Source(name="text", index=indexes[0], epoch_cap=2)])
    with pytest.raises(InputError, match=r"'text' may be read 2 times .* in step") as caught:
        Trainer(model_config=MODEL, training_config=TRAINING, plan=capped, run_directory=tmp_path)
    assert "a budget of 3,840 slots in 40 steps" in str(caught.value)
    with pytest.raises(InputError, match="sequences of 8 tokens, the plan has rows of 16"):
        trainer(tmp_path, indexes, training=replace(TRAINING, sequence_length=8))
    with pytest.raises(InputError, match="the model reads 8"):
        trainer(tmp_path, indexes, model=replace(MODEL, sequence_length=8))


def test_a_rule_gives_every_step_its_numbers_and_the_log_keeps_them(indexes: Indexes, tmp_path: Path) -> None:
    class Falling:
        def for_step(
            self, *, step: int, tokens_before: int, tokens_of_step: int, global_batch_size: int
        ) -> HyperParameters:
            assert (tokens_before, tokens_of_step, global_batch_size) == ((step - 1) * 96, 96, 6)
            return HyperParameters(learning_rate=1 / step, betas=(0.9, 1 - 0.1 / step), weight_decay=0.1 * step)

    run = trainer(tmp_path, indexes, rule=Falling())
    run.run(until_step=3)
    steps = [record for record in curve(tmp_path) if record["kind"] == "step"]
    assert [record["learning_rate"] for record in steps] == [1 / 1, 1 / 2, 1 / 3]
    assert [record["betas"] for record in steps] == [[0.9, 0.9], [0.9, 0.95], [0.9, 1 - 0.1 / 3]]
    assert [(record["weight_decay"], record["epsilon"]) for record in steps] == [
        (0.1, None),
        (0.2, None),
        (0.1 * 3, None),
    ]


WSD = replace(TRAINING, decay="wsd", decay_share=0.25)  # decays after step 30 of 40


def test_a_late_decay_may_get_another_budget_while_it_has_not_begun(indexes: Indexes, tmp_path: Path) -> None:
    twice = replace(WSD, tokens=2 * WSD.tokens)
    trainer(tmp_path / "long", indexes, training=twice).run()
    trainer(tmp_path / "grown", indexes, training=WSD).run(until_step=30)
    assert trainer(tmp_path / "grown", indexes, training=twice).run().reason == "finished"
    assert curve(tmp_path / "grown") == curve(tmp_path / "long")
    assert same_weights(tmp_path / "grown", tmp_path / "long")


def test_a_constant_run_may_end_in_a_decay(indexes: Indexes, tmp_path: Path) -> None:
    trainer(tmp_path / "wsd", indexes, training=WSD).run(until_step=33)
    trainer(tmp_path / "constant", indexes, training=replace(WSD, decay="constant", tokens=10**6)).run(until_step=30)
    trainer(tmp_path / "constant", indexes, training=WSD).run(until_step=33)
    assert curve(tmp_path / "constant") == curve(tmp_path / "wsd")


@pytest.mark.parametrize("before", [WSD, TRAINING], ids=["in the decay", "under a cosine"])
def test_a_budget_is_refused_that_would_have_made_another_past(
    indexes: Indexes, tmp_path: Path, before: TrainingConfig
) -> None:
    trainer(tmp_path, indexes, training=before).run(until_step=31)
    with pytest.raises(InputError, match=r"training\.tokens: 3840 there, 7680 here"):
        trainer(tmp_path, indexes, training=replace(before, tokens=2 * before.tokens)).run()
