"""What a run leaves behind and how it ends: report, events, calls, pauses, signals, the way back from trouble."""

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from batchwright.cli.main import main
from batchwright.recipe import load_recipe
from batchwright.training.run_log import read_log
from batchwright.workflows.calls import read_calls
from batchwright.workflows.tensorboard import scalars_of
from tests.cli.conftest import Run

PNG = b"\x89PNG"


def section(report: str, title: str) -> str:
    """The text under a heading."""
    return report.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_a_finished_run_tells_everything_in_its_report(run: Run, recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "the run"
    words = ("train", recipe, "--out", out, "--set", "training.keep_every_tokens=512")
    assert run(*words, "--steps", 3)[0] == 0
    code, answer = run(*words)
    assert code == 0
    report = Path(answer["report"]).read_text(encoding="utf-8")
    assert report.startswith("# The run “the run”")
    assert "Finished: 8 of 8 steps, 2,048 tokens" in section(report, "Where it stands")
    assert f"train '{out}/recipe.toml' --out '{out}'" in section(report, "Where it stands")
    assert "| embedding | 5,120 |" in section(report, "The model")
    assert "Global batch 8 sequences = 256 tokens" in section(report, "The batch")
    assert "fingerprint" in section(report, "The data")
    assert "Held out: " in section(report, "The data")
    assert "![Loss over tokens" in section(report, "Loss")
    assert f"{answer['validation_loss']:.3f} | {answer['bits_per_byte']:.3f}" in section(report, "Loss")
    took = section(report, "What it took")
    for words_said in ("tokens per second", "measured here: the fastest of", "The closed form of one step says"):
        assert words_said in took
    assert section(report, "Spikes").strip().startswith("None")
    assert "| step-2 | 512 |" in section(report, "Checkpoints")
    assert "for good" in section(report, "Checkpoints")
    assert section(report, "What it writes").count("```text") == 3
    made = section(report, "How this was made")
    assert "| 0 | 3 | paused | batchwright train" in made
    assert "| 3 | 8 | finished |" in made
    assert "torch" in made
    assert (out / "loss.png").read_bytes().startswith(PNG)


def test_the_report_is_made_anew_by_every_call_in_the_language_asked_for(
    run: Run, recipe: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    assert run("train", recipe, "--out", out, "--sample", 1)[0] == 0
    first = (out / "report.md").read_text(encoding="utf-8")
    log = (out / "metrics.jsonl").read_bytes()
    assert main(["train", str(recipe), "--out", str(out), "--sample", "1", "--lang", "zh"]) == 0
    second = (out / "report.md").read_text(encoding="utf-8")
    assert "## 进展" in second
    assert section(second, "它写出的文字").partition("```")[2] == section(first, "What it writes").partition("```")[2]
    assert (out / "metrics.jsonl").read_bytes() == log


def test_a_time_limit_pauses_and_the_same_command_goes_on(run: Run, recipe: Path, tmp_path: Path) -> None:
    code, answer = run("train", recipe, "--out", tmp_path / "run", "--minutes", 0.00001)
    assert (code, answer["reason"], answer["step"]) == (0, "paused", 1)  # however short: a loop of such calls ends
    code, answer = run("train", recipe, "--out", tmp_path / "run", "--minutes", 0.00001)
    assert (code, answer["reason"], answer["step"]) == (0, "paused", 2)
    code, answer = run("train", recipe, "--out", tmp_path / "run", "--minutes", 5)
    assert (code, answer["reason"]) == (0, "finished")
    code, answer = run("train", recipe, "--out", tmp_path / "run", "--minutes", 0)
    assert (code, answer["error"]["what"]) == (1, "--minutes 0")


def test_sigterm_ends_a_real_process_with_a_checkpoint_and_a_report(run: Run, recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    rare = ("--set", "training.checkpoint_every_tokens=2M")
    long = ("train", str(recipe), "--out", str(out), "--tokens", "2000k", *rare)
    command = [sys.executable, "-m", "batchwright.cli.main", *long]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    deadline = time.monotonic() + 120
    while len((out / "metrics.jsonl").read_bytes().split(b"\n") if (out / "metrics.jsonl").exists() else []) < 5:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Interrupted after" in said
    (checkpoint,) = (out / "checkpoints").iterdir()
    step = int(checkpoint.name.removeprefix("step-"))
    steps = [record["step"] for record in read_log(out / "metrics.jsonl") if record["kind"] == "step"]
    assert steps == list(range(1, step + 1))
    assert "| interrupted |" in (out / "report.md").read_text(encoding="utf-8")
    assert run(*long, "--steps", step + 1)[1]["resumed_from"] == step


def events_of(directory: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard itself reads."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    reader = EventAccumulator(str(directory), size_guidance={"scalars": 0})
    reader.Reload()
    return {tag: [(e.step, e.value) for e in reader.Scalars(tag)] for tag in reader.Tags()["scalars"]}


@pytest.mark.filterwarnings("ignore")  # of TensorBoard's own reader
def test_tensorboard_shows_every_step_once_after_pauses(run: Run, recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = ("train", recipe, "--out", out, "--tensorboard")
    for steps in (2, 5, 8):
        assert run(*words, "--steps", steps)[0] == 0
    log = read_log(out / "metrics.jsonl")
    found = events_of(out / "tensorboard")
    assert found["training/loss"] == [
        (record["step"], pytest.approx(record["loss"])) for record in log if record["kind"] == "step"
    ]
    assert [step for step, _ in found["validation/loss"]] == [0, 8]
    assert {"training/gradient_norm", "training/learning_rate", "training/mfu", "validation/bits_per_byte"} <= {*found}
    for path in (out / "tensorboard").iterdir():
        path.unlink()
    assert run(*words)[0] == 0  # nothing left to train: the events come back from the log
    assert events_of(out / "tensorboard").keys() == found.keys()
    assert dict(scalars_of({"kind": "spike", "step": 1})) == {}


def test_without_tensorboard_the_flag_says_how_to_get_it(
    run: Run, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard.summary.writer.event_file_writer", None)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    code, answer = run("train", recipe, "--out", tmp_path / "run", "--tensorboard")
    assert (code, answer["error"]["kind"]) == (1, "MissingExtraError")
    assert "pip install 'batchwright[tensorboard]'" in answer["error"]["text"]
    assert not (tmp_path / "run").exists()


def test_a_run_that_diverges_says_where_whose_text_it_was_and_how_to_go_on(
    run: Run, recipe: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    absurd = ("train", recipe, "--out", out, "--set", "training.learning_rate=1e38")
    code, answer = run(*absurd, "--set", "training.checkpoint_every_tokens=256")
    assert code == 1
    text = answer["error"]["text"]
    *_, last = read_log(out / "metrics.jsonl")
    assert (answer["error"]["kind"], last["kind"], last["message"]) == ("DivergedError", "diverged", text)
    document = last["documents"][0]
    assert document["path"].endswith(".txt")
    assert f"{document['source']}: {document['path']} @ {document['offset']:,}" in text
    assert last["command"] in text
    report = (out / "report.md").read_text(encoding="utf-8")
    assert text in report
    assert "| with an error |" in report
    assert read_calls(out)[-1]["ended"]["reason"] == "failed"
    # The very command that it names is understood, and leaves these positions out.
    words = shlex.split(last["command"])[1:]
    code, answer = run(*words, "--steps", last["step"] - 1)
    assert code == 0
    assert answer["skipped"]["first"] == last["first_position"]
    assert answer["skipped"]["stop"] == last["stop_position"]


def test_a_spike_is_shown_and_its_command_goes_back(
    run: Run, recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    words = ["train", str(recipe), "--out", str(out), "--tokens", "8192", "--set", "training.spike_deviations=0.0001"]
    words += ["--set", "training.keep_checkpoints=100"]
    # So little is unusual here that a gradient four times the median is the only bar left; it is lowered, too.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("batchwright.training.spikes.NORM_FACTOR", 1.0)
        assert main(words) == 0
    said = capsys.readouterr().out
    spike = next(record for record in read_log(out / "metrics.jsonl") if record["kind"] == "spike")
    assert f"Spike at step {spike['step']}, positions {spike['first_position']}:{spike['stop_position']}" in " ".join(
        said.split()
    )
    report = (out / "report.md").read_text(encoding="utf-8")
    assert f"--skip {spike['first_position']}:{spike['stop_position']}" in section(report, "Spikes")
    (command, *_) = (line for line in section(report, "Spikes").split("\n") if line.startswith("batchwright train"))
    code, answer = run(*shlex.split(command)[1:])
    assert (code, answer["reason"]) == (0, "finished")
    assert answer["resumed_from"] < spike["step"]
    eaten = [r["first_position"] for r in read_log(out / "metrics.jsonl") if r["kind"] == "step"]
    assert spike["first_position"] not in eaten


def test_a_refused_recipe_does_not_replace_that_of_the_run(run: Run, recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert run("train", recipe, "--out", out, "--steps", 2)[0] == 0
    before = (out / "recipe.toml").read_bytes()
    assert run("train", recipe, "--out", out, "--set", "training.learning_rate=0.5")[0] == 1
    assert (out / "recipe.toml").read_bytes() == before
    assert len(read_calls(out)) == 1


def test_what_a_step_measures_is_in_the_log(run: Run, recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert run("train", recipe, "--out", out, "--set", "run.peak_flops_per_second=1e12", "--sample", 0)[0] == 0
    step = next(record for record in read_log(out / "metrics.jsonl") if record["kind"] == "step")
    model = load_recipe(recipe).model
    assert step["mfu"] == pytest.approx(step["tokens_per_second"] * model.flops_per_token(32) / 1e12)
    assert step["peak_memory_bytes"] > 50 * 2**20
    report = (out / "report.md").read_text(encoding="utf-8")
    assert "as named by run.peak_flops_per_second" in report
    assert "What it writes" not in report
    with (out / "calls.jsonl").open("ab") as file:
        file.write(b'{"event": "beg')  # what a power cut leaves
    assert run("train", recipe, "--out", out, "--set", "run.peak_flops_per_second=1e12", "--sample", 0)[0] == 0
    assert [call["ended"]["reason"] for call in read_calls(out)] == ["finished"] * 2
