"""Steps that go wrong in a real run: named with positions and documents, in the log, and the way on beside them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from batchwright.foundation.errors import InputError
from batchwright.sequences.plan import Plan
from batchwright.sequences.stage import Source, Stage
from batchwright.training.run_log import read_log, without_measured
from batchwright.training.step import DivergedError, NoTargetsError
from batchwright.training.trainer import Trainer
from batchwright.training.trouble import BatchDocuments, name_documents, skip_command
from tests.training.counting_store import counting_indexes
from tests.training.test_trainer import MODEL, TRAINING, Indexes

LOUD = 80  # the step whose batch is garbage
LONGER = replace(TRAINING, tokens=100 * 6 * 16, keep_every_tokens=20 * 6 * 16, checkpoint_every_tokens=7 * 6 * 16)
DOCUMENT = {"source": "text", "path": "a.txt", "offset": 5, "document": 3, "tokens": 16}


def tracer(first_position: int, stop_position: int) -> BatchDocuments:
    return BatchDocuments(documents=({**DOCUMENT, "tokens": stop_position - first_position},), count=2)


@pytest.fixture(scope="module")
def indexes(tmp_path_factory: pytest.TempPathFactory) -> Indexes:
    return counting_indexes(tmp_path_factory.mktemp("counting"), documents=200)


@pytest.fixture(scope="module")
def garbage(tmp_path_factory: pytest.TempPathFactory) -> Indexes:
    return counting_indexes(tmp_path_factory.mktemp("garbage"), documents=40, garbage=True)


def test_a_batch_of_garbage_is_a_spike_and_training_goes_on(indexes: Indexes, garbage: Indexes, tmp_path: Path) -> None:
    first = (LOUD - 1) * 6
    text = Source(name="text", index=indexes[0])
    plan = (
        Plan.mix([text])
        .append(Stage(first_position=first, seed=0, sources=(Source(name="garbage", index=garbage[0]),)))
        .append(Stage(first_position=first + 6, seed=0, sources=(text,)))
    )

    def train(run: Path, until: int | None = None) -> None:
        Trainer(model_config=MODEL, training_config=LONGER, plan=plan, run_directory=run, tracer=tracer).run(
            until_step=until
        )

    train(tmp_path / "whole")
    records = read_log(tmp_path / "whole" / "metrics.jsonl")
    assert sum(record["kind"] == "step" for record in records) == 100
    spikes = [record for record in records if record["kind"] == "spike"]
    assert spikes[0]["step"] == LOUD
    assert (spikes[0]["first_position"], spikes[0]["stop_position"]) == (first, first + 6)
    assert spikes[0]["loss_deviations"] > 6
    assert spikes[0]["documents"] == [{**DOCUMENT, "tokens": 6}]
    assert {spike["began"] for spike in spikes} == {LOUD}
    for until in (LOUD - 1, LOUD, LOUD + 1, None):
        train(tmp_path / "parts", until)
    assert without_measured(read_log(tmp_path / "parts" / "metrics.jsonl")) == without_measured(records)


def test_a_learning_rate_that_explodes_ends_the_run_and_says_how_to_go_on(indexes: Indexes, tmp_path: Path) -> None:
    def train(run: Path) -> None:
        Trainer(
            model_config=MODEL,
            training_config=replace(LONGER, learning_rate=1e38, checkpoint_every_tokens=6 * 16, decay="constant"),
            plan=Plan.of(indexes[0]),
            run_directory=run,
            tracer=tracer,
        ).run()

    run = tmp_path / "my run"
    with pytest.raises(DivergedError) as caught:
        train(run)
    *_, last = read_log(run / "metrics.jsonl")
    step = last["step"]
    assert (last["kind"], last["documents"]) == ("diverged", [{**DOCUMENT, "tokens": 6}])
    assert last["message"] == str(caught.value)
    for part in (
        f"step {step}, positions {6 * step - 6} to {6 * step - 1}; 2 documents: text: a.txt @ 5 (6 tokens) and 1 more",
        f"the checkpoint of step {step - 1} is untouched",
        f"batchwright train '{run}/recipe.toml' --out '{run}' --from-step {step - 1} --skip {6 * step - 6}:{6 * step}",
    ):
        assert part in last["message"]
    before = sorted(path.name for path in (run / "checkpoints").iterdir())
    with pytest.raises(DivergedError, match=r"nan|inf"):
        train(run)  # the same command comes to the same step
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == before
    assert sum(record["kind"] == "diverged" for record in read_log(run / "metrics.jsonl")) == 1


def test_a_batch_without_a_target_is_named(indexes: Indexes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batchwright.batches.collate.Collator.targets_of", lambda self, placed: np.int64(0))
    run = Trainer(
        model_config=MODEL, training_config=TRAINING, plan=Plan.of(indexes[0]), run_directory=tmp_path, tracer=tracer
    )
    with pytest.raises(NoTargetsError) as caught:
        run.run()
    assert isinstance(caught.value, InputError)
    assert "the step at positions 0 to 5 has no target" in caught.value.what
    assert str(caught.value.where).startswith("step 1, ")
    assert "; 2 documents: text: a.txt @ 5" in str(caught.value.where)
    assert "--skip 0:6" in str(caught.value.remedy)
    assert "--from-step" not in str(caught.value.remedy)
    assert "there is no checkpoint yet" in str(caught.value.remedy)
    assert [r["kind"] for r in read_log(tmp_path / "metrics.jsonl")] == ["no targets"]


def test_one_checkpoint_of_every_stretch_stays_for_good(indexes: Indexes, tmp_path: Path) -> None:
    Trainer(model_config=MODEL, training_config=LONGER, plan=Plan.of(indexes[0]), run_directory=tmp_path).run()
    names = sorted(int(path.name.removeprefix("step-")) for path in (tmp_path / "checkpoints").iterdir())
    assert names == [20, 40, 60, 80, 98, 100]


def test_documents_and_commands_in_words() -> None:
    assert name_documents([DOCUMENT], 1) == "text: a.txt @ 5 (16 tokens)"
    assert name_documents([DOCUMENT], 1_201) == "text: a.txt @ 5 (16 tokens) and 1,200 more"
    command = skip_command(Path("runs/small"), from_step=3, first_position=8, stop_position=16)
    assert command == "batchwright train runs/small/recipe.toml --out runs/small --from-step 3 --skip 8:16"
