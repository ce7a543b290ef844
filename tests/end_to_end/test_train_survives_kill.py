"""Kill −9 at any moment, start again, and again: the loss curve and the weights are those of an undisturbed run, bit
for bit. Kills fall anywhere: before the first step, in a step, between the log and its checkpoint, inside a checkpoint,
while the report is written; half of them at random moments, half at one of the durable operations. A power cut is a
kill that takes with it what was not synced.
"""

import hashlib
import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

import batchwright
from batchwright.workflows.calls import read_calls
from batchwright.workflows.telling.run_report import CALLS_SHOWN
from tests.cli.test_train_runs import events_of
from tests.end_to_end.train_kills import KILLED, Nursery, Tally, differing, remains, train_with_kills
from tests.end_to_end.train_nursery import STEPS

KILLS_OF_A_ROUND = 25


def test_twenty_five_kills_leave_no_trace(starter: Nursery, tmp_path: Path) -> None:
    run = tmp_path / "killed"
    tally = train_with_kills(starter, run, KILLS_OF_A_ROUND, seed=1)
    assert len(tally.lengths) >= 5  # else the kills fell before the first step, and nothing was tested
    assert tally.kills == KILLS_OF_A_ROUND
    assert "rename in thread checkpoint" in starter.operations  # checkpoints are written beside the training
    whole = remains(starter.whole)
    assert differing(remains(run), whole) == []
    assert {record["kind"] for record in whole["curve"]} == {"step", "evaluation", "spike"}
    assert whole["newest"] == f"step-{STEPS}"
    assert whole["left over"] == []
    assert {path.name for path in (run / "checkpoints").iterdir()} >= {f"step-{n}" for n in (10, 20, 30, 40)}
    killed = [call["ended"] is None for call in read_calls(run)]
    assert any(killed)
    # The report shows the last calls, which on a fast machine may all have come when the run was finished.
    told = "killed, or still running" in (run / "report.md").read_text(encoding="utf-8")
    assert told == any(killed[-CALLS_SHOWN:])
    shown, wanted = shown_by_tensorboard(run), shown_by_tensorboard(starter.whole)
    assert [step for step, _ in shown] == list(range(1, STEPS + 1))
    assert shown == wanted


def test_a_run_that_is_killed_before_its_first_step_begins_again(starter: Nursery, tmp_path: Path) -> None:
    for at in range(2, 14, 2):
        run = tmp_path / str(at)
        assert starter.train(run, at_operation=at).code == KILLED
        assert starter.train(run, ["--steps", 1]).code == 0, f"killed at operation {at}: {starter.operations[at - 1]}"
        assert remains(run)["left over"] == []


@pytest.mark.parametrize("twin", ["log-not-cut", "named-early"])
def test_a_broken_trainer_is_caught(starter: Nursery, tmp_path: Path, twin: str) -> None:
    moments = range(60, len(starter.operations) // 3, 17)
    assert any(not survives(starter, tmp_path / str(at), at, twin=twin) for at in moments)


def survives(starter: Nursery, run: Path, at_operation: int, *, twin: str) -> bool:
    """Whether a run that is killed there and started again is the undisturbed one."""
    assert starter.train(run, twin=twin, at_operation=at_operation).code == KILLED
    return starter.train(run, twin=twin).code == 0 and not differing(remains(run), remains(starter.whole))


def shown_by_tensorboard(run: Path) -> list[tuple[int, float]]:
    """(step, loss), by its own reader, which uses what NumPy deprecates."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return events_of(run / "tensorboard")["training/loss"]


def test_power_cuts_leave_no_trace(starter: Nursery, tmp_path: Path) -> None:
    for at in range(40, len(starter.operations) // 4, len(starter.operations) // 40):
        ending = starter.train(tmp_path / "cut", at_operation=at, power_cut=at)
        assert ending.code in (0, KILLED), f"cut at operation {at}"
    assert starter.train(tmp_path / "cut").code == 0
    assert differing(remains(tmp_path / "cut"), remains(starter.whole)) == []


def test_checkpoints_that_are_not_synced_are_caught(starter: Nursery, tmp_path: Path) -> None:
    def starts_again(run: Path, at: int) -> bool:
        assert starter.train(run, at_operation=at, power_cut=at, twin="files-not-synced").code == KILLED
        return starter.train(run).code == 0

    assert not all(starts_again(tmp_path / str(at), at) for at in range(60, 120, 7))


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_a_thousand_kills_leave_no_trace(
    starter: Nursery, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Rounds of 25 kills, each in a run of its own. A round that is done is kept (see `kept_rounds`)."""
    done, total, rounds = kept_rounds(tmp_path), Tally(), 0
    while total.kills < 1000:
        path, run = done / f"{rounds}.json", tmp_path / f"round-{rounds}"
        if not path.exists():
            tally = train_with_kills(starter, run, KILLS_OF_A_ROUND, seed=100 + rounds)
            assert differing(remains(run), remains(starter.whole)) == [], run
            path.write_text(json.dumps(tally.to_dict()), encoding="utf-8")
        total.add(Tally.of(json.loads(path.read_text(encoding="utf-8"))))
        rounds += 1
    record_property("tally", f"kills of train: {total.describe()}, {rounds} runs, every one the undisturbed one")
    for path in done.iterdir():  # the next call is a new one
        path.unlink()


def kept_rounds(otherwise: Path) -> Path:
    """Where finished rounds lie, so that an interrupted programme goes on with what is left: in BATCHWRIGHT_TORTURE,
    under a name that is another one as soon as a line of the code or of these tests is."""
    digest = hashlib.sha256()
    for source in (Path(batchwright.__file__).parent, Path(__file__).parent):
        for path in sorted(source.rglob("*.py")):
            digest.update(path.read_bytes())
    home = Path(os.environ.get("BATCHWRIGHT_TORTURE") or otherwise)
    place = home.resolve() / f"train-kills-{digest.hexdigest()[:12]}"
    place.mkdir(parents=True, exist_ok=True)
    return place
