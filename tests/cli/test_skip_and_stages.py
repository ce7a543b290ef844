"""Stages and skipped ranges of a recipe: the past is never edited, and a range can be left out after the fact."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from batchwright.batches.schedule import BatchSchedule
from batchwright.recipe import load_recipe
from batchwright.training.checkpoint_write import Checkpoints
from batchwright.training.run_log import MEASURED_FIELDS, read_log
from batchwright.workflows import run_directory
from batchwright.workflows.run_directory import GOING_BACK_NAME, go_back
from batchwright.workflows.train import open_data
from tests.cli.conftest import Run


def steps_of(directory: Path) -> list[dict[str, Any]]:
    return [
        {name: value for name, value in record.items() if name not in MEASURED_FIELDS}
        for record in read_log(directory / "metrics.jsonl")
        if record["kind"] == "step"
    ]


@pytest.fixture
def long_recipe(recipe: Path) -> Path:
    """A recipe that keeps every checkpoint."""
    text = recipe.read_text(encoding="utf-8").replace("checkpoint_every_tokens = 512", "checkpoint_every_tokens = 256")
    recipe.write_text(text + "keep_checkpoints = 9\n", encoding="utf-8")
    return recipe


def with_data(recipe: Path, lines: str, name: str) -> Path:
    file = recipe.with_name(name)
    file.write_text(recipe.read_text(encoding="utf-8").replace("[model]", f"{lines}\n\n[model]"), encoding="utf-8")
    return file


def test_back_before_a_spike_and_past_it_is_the_run_without_the_range(
    run: Run, long_recipe: Path, tmp_path: Path
) -> None:
    run("train", long_recipe, "--out", tmp_path / "plain", "--steps", 6)
    before = steps_of(tmp_path / "plain")
    spike = before[3]  # step 4 ate positions 24 to 31
    words = ("--skip", f"{spike['first_position']}:{spike['first_position'] + 8}")
    code, refused = run("train", long_recipe, "--out", tmp_path / "plain", *words)
    assert code == 1
    assert "eaten already" in refused["error"]["what"]
    assert "--from-step 3" in refused["error"]["text"]
    code, answer = run("train", long_recipe, "--out", tmp_path / "plain", *words, "--from-step", 3)
    assert (code, answer["resumed_from"], answer["went_back_to"], answer["reason"]) == (0, 3, 3, "finished")
    assert (answer["skipped"]["rows"], answer["skipped"]["already"]) == (8, False)
    assert answer["skipped"]["documents"] > 0
    after = steps_of(tmp_path / "plain")
    assert after[:3] == before[:3]
    assert after[3]["certificate"] == before[4]["certificate"]  # step 4 eats what step 5 ate
    assert after[4]["certificate"] == before[5]["certificate"]
    # Nothing else changes: it is the run of the plan that never had the range.
    planned = with_data(long_recipe, "skip = [[24, 32]]", "planned.toml")
    assert run("train", planned, "--out", tmp_path / "planned")[0] == 0
    assert steps_of(tmp_path / "planned") == after


def test_a_skip_ahead_is_kept_by_the_run_and_saying_it_again_changes_nothing(
    run: Run, long_recipe: Path, tmp_path: Path
) -> None:
    out = ("--out", tmp_path / "run")
    run("train", long_recipe, *out, "--steps", 2)
    run("train", long_recipe, *out, "--steps", 3, "--skip", "26:29")
    assert load_recipe(tmp_path / "run" / "recipe.toml", environment={}).data.skip == ((26, 29),)
    code, again = run("train", long_recipe, *out, "--steps", 5, "--skip", "26:29", "--from-step", 1)
    assert (code, again["resumed_from"], again["went_back_to"], again["skipped"]["already"]) == (0, 3, None, True)
    code, answer = run("train", long_recipe, *out)  # no flag
    assert (code, answer["reason"], answer["resumed_from"]) == (0, "finished", 5)
    planned = with_data(long_recipe, "skip = [[26, 29]]", "planned.toml")
    run("train", planned, "--out", tmp_path / "planned")
    assert steps_of(tmp_path / "run") == steps_of(tmp_path / "planned")


def test_a_way_back_that_is_killed_halfway_is_finished_by_the_next_start(
    run: Run, long_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    run("train", long_recipe, "--out", out, "--steps", 6)
    before = steps_of(out)
    recipe = load_recipe(long_recipe, environment={})
    changed = replace(recipe, data=replace(recipe.data, skip=((24, 32),)))
    for moment in (Checkpoints, run_directory):

        def killed(*given: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(moment, "forget_after" if moment is Checkpoints else "write_atomic", killed)
            with pytest.raises(KeyboardInterrupt):
                go_back(out, 3, changed) if moment is Checkpoints else run_directory.finish_going_back(out)
        assert (out / GOING_BACK_NAME).exists()
    code, answer = run("train", long_recipe, "--out", out, "--steps", 5)
    assert (code, answer["resumed_from"]) == (0, 3)
    assert not (out / GOING_BACK_NAME).exists()
    assert [step["certificate"] for step in steps_of(out)[3:]] == [step["certificate"] for step in before[4:]]


def test_a_stage_that_is_appended_while_a_run_lasts_is_the_same_run(
    run: Run, long_recipe: Path, tmp_path: Path
) -> None:
    stage = "[[data.stages]]\nat_step = 4\nsequence_length = 16\nglobal_batch_size = 12"
    changed = with_data(long_recipe, stage, "changed.toml")
    run("train", long_recipe, "--out", tmp_path / "grown", "--steps", 3)
    code, answer = run("train", changed, "--out", tmp_path / "grown")
    assert (code, answer["resumed_from"], answer["reason"]) == (0, 3, "finished")
    assert run("train", changed, "--out", tmp_path / "planned")[0] == 0
    steps = steps_of(tmp_path / "planned")
    assert steps_of(tmp_path / "grown") == steps
    assert [step["sequences"] for step in steps] == [8] * 4 + [12] * 6
    assert [b["tokens"] - a["tokens"] for a, b in pairwise(steps)] == [256] * 3 + [192] * 6


def test_a_stage_in_the_eaten_past_is_refused_and_named(run: Run, long_recipe: Path, tmp_path: Path) -> None:
    run("train", long_recipe, "--out", tmp_path / "run", "--steps", 4)
    late = with_data(long_recipe, "[[data.stages]]\nat_position = 16\nseed = 9", "late.toml")
    code, answer = run("train", late, "--out", tmp_path / "run")
    assert code == 1
    assert "begins at position 16, and this state has eaten everything below 32" in answer["error"]["what"]


def test_a_stage_ahead_may_be_edited_and_one_that_has_begun_may_not(
    run: Run, long_recipe: Path, tmp_path: Path
) -> None:
    stage = "[[data.stages]]\nat_tokens = {tokens}\nglobal_batch_size = {size}"
    first = with_data(long_recipe, stage.format(tokens=1000, size=4), "first.toml")
    run("train", first, "--out", tmp_path / "run", "--steps", 3)
    second = with_data(long_recipe, stage.format(tokens=1000, size=6), "second.toml")
    code, answer = run("train", second, "--out", tmp_path / "run", "--steps", 6, "--skip", "30:31")
    assert (code, answer["resumed_from"]) == (0, 3)
    run("train", second, "--out", tmp_path / "whole", "--steps", 6, "--skip", "30:31")
    assert steps_of(tmp_path / "run") == steps_of(tmp_path / "whole")
    code, answer = run("train", first, "--out", tmp_path / "run")
    assert code == 1
    assert "'size': 6" in answer["error"]["what"] or "batch.size: 6 there, 4 here" in answer["error"]["what"]


def test_a_stage_begins_where_its_tokens_or_steps_lead_to(recipe: Path) -> None:
    for words, position in (
        ("at_tokens = 513", 24),
        ("at_tokens = 512", 16),
        ("at_step = 3", 24),
        ("at_position = 5", 5),
    ):
        changed = with_data(recipe, f"[[data.stages]]\n{words}\nglobal_batch_size = 4", "changed.toml")
        plan = open_data(load_recipe(changed, environment={})).plan
        assert plan.stages[1].first_position == position
        assert BatchSchedule(plan, load_recipe(changed, environment={}).training.batch_rule).step_at(9).size == 4


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("[[data.stages]]\nseed = 1", "say one of the three"),
        ("[[data.stages]]\nat_step = 1\nat_tokens = 2", "say one of the three"),
        ("[[data.stages]]\nat_step = 1\nsequence_length = 99", "the model reads 32"),
        ("[[data.stages]]\nat_stp = 1", "did you mean 'at_step'?"),
        ("skip = [[5, 5]]", "first below stop"),
        (
            "[[data.stages]]\nat_position = 9\nseed = 1\n[[data.stages]]\nat_position = 8\nseed = 2",
            "number 2 of [[data.stages]]",
        ),
    ],
)
def test_a_stage_that_makes_no_sense_is_refused(run: Run, recipe: Path, tmp_path: Path, lines: str, words: str) -> None:
    code, answer = run("train", with_data(recipe, lines, "bad.toml"), "--out", tmp_path / "run")
    assert code == 1
    assert words in answer["error"]["text"]


@pytest.mark.parametrize(
    ("words", "exit_code", "said"),
    [
        (("--skip", "5"), 2, "not a range of positions"),
        (("--skip", "9:5"), 1, "holds no position"),
        (("--from-step", "7"), 1, "this run has no checkpoint yet"),
        (("--skip", "1:2", "--fresh"), 2, "--fresh forgets"),
    ],
)
def test_a_skip_that_makes_no_sense_is_refused(
    run: Run, recipe: Path, tmp_path: Path, words: tuple[str, ...], exit_code: int, said: str
) -> None:
    code, answer = run("train", recipe, "--out", tmp_path / "run", *words)
    assert code == exit_code
    assert said in answer["error"]["text"]


def test_back_to_a_step_that_was_not_kept_names_those_that_were(run: Run, recipe: Path, tmp_path: Path) -> None:
    run("train", recipe, "--out", tmp_path / "run")
    code, answer = run("train", recipe, "--out", tmp_path / "run", "--from-step", 1)
    assert code == 1
    assert "--from-step with one of: 6, 8" in answer["error"]["text"]


def test_going_back_is_done_once_and_the_same_call_goes_on(run: Run, long_recipe: Path, tmp_path: Path) -> None:
    out = ("--out", tmp_path / "run")
    run("train", long_recipe, *out, "--steps", 6)
    found = [run("train", long_recipe, *out, "--from-step", 2, "--steps", steps)[1] for steps in (4, 5)]
    assert [(each["went_back_to"], each["resumed_from"]) for each in found] == [(2, 2), (None, 4)]
    # Another step is another way, and so is the same step with other settings.
    other = run("train", long_recipe, *out, "--from-step", 1, "--steps", 3)[1]
    assert (other["went_back_to"], other["resumed_from"]) == (1, 1)
    settings = ("--set", "training.clip_norm=0.5")
    code, answer = run("train", long_recipe, *out, *settings, "--from-step", 1, "--steps", 2)
    assert "clip_norm" in answer["error"]["text"] if code else answer["went_back_to"] == 1


def test_beginning_afresh_is_refused_where_torchrun_would_begin_again_and_again(
    run: Run, long_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", "3")
    code, answer = run("train", long_recipe, "--out", tmp_path / "run", "--fresh")
    assert (code, "at every restart" in answer["error"]["text"]) == (2, True)
