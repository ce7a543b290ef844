"""`train --skip FIRST:STOP --from-step N` and `train --fresh`, killed at their durable operations: whoever starts the
run again, with the same words or with none, gets the run before the decision or the run after it, never a third. Every
other kill is a power cut.
"""

import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.train_kills import KILLED, Nursery, differing, remains

WAYS = {
    # Back from step 40 to 30 and past what step 33 ate: deletes two checkpoints and the texts that the model wrote.
    "back": ["--from-step", 30, "--skip", "224:231"],
    "fresh": ["--fresh", "--steps", 4],
}


@dataclass(frozen=True, kw_only=True)
class Decision:
    """A way to change a finished run, done once without a disturbance."""

    starter: Nursery
    base: Path  # the finished run
    words: list[object]
    bare: list[object]  # the words of somebody who does not know of the decision
    operations: int  # until training begins, and some more
    before: dict[str, Any]
    after: dict[str, Any]

    def killed_at(self, run: Path, at_operation: int, *, power_cut: bool) -> None:
        shutil.copytree(self.base, run)
        seed = at_operation if power_cut else None
        assert self.starter.train(run, self.words, at_operation=at_operation, power_cut=seed).code == KILLED

    def went_wrong(self, run: Path, *, bare: bool) -> list[str]:
        """Start again after a kill; what is neither as before nor as after. The same words always lead to the end."""
        again = self.starter.train(run, self.bare if bare else self.words)
        if again.code != 0:
            return [f"it does not start again: {again.said}"]
        found = remains(run)
        wrong = differing(found, self.after)
        return wrong if not bare or differing(found, self.before) else []


@pytest.fixture(scope="module", params=WAYS)
def decision(request: pytest.FixtureRequest, starter: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Decision:
    words: list[object] = WAYS[request.param]
    place = tmp_path_factory.mktemp(request.param)
    base, run = place / "base", place / "undisturbed"
    shutil.copytree(starter.whole, base)
    # So small a model may write the same text again, and a text of the old run must not stay.
    samples = (base / "samples.json").read_text(encoding="utf-8")
    (base / "samples.json").write_text(samples.replace('"text": "', '"text": "of the old run: '), encoding="utf-8")
    shutil.copytree(base, run)
    ending = starter.train(run, words, at_operation=0)
    assert ending.code == 0
    before, after = remains(base), remains(run)
    assert {"curve", "tensors", "samples"} <= {*differing(before, after)}
    return Decision(
        starter=starter,
        base=base,
        words=words,
        bare=words[words.index("--steps") :] if "--steps" in words else [],
        # The decision ends where the log is taken up and cut.
        operations=min(len(ending.operations), 80),
        before=before,
        after=after,
    )


def test_a_kill_leaves_the_run_before_the_decision_or_after_it(decision: Decision, tmp_path: Path) -> None:
    for number, at in enumerate(range(7, decision.operations, 16)):
        decision.killed_at(tmp_path / str(at), at, power_cut=number % 2 == 0)
        wrong = decision.went_wrong(tmp_path / str(at), bare=number % 4 < 2)
        assert wrong == [], f"killed at operation {at}"


def test_a_way_back_that_is_not_decided_first_is_caught(starter: Nursery, tmp_path: Path) -> None:
    words = WAYS["back"]
    for at in range(6, 30, 4):
        run = tmp_path / str(at)
        shutil.copytree(starter.whole, run)
        starter.train(run, words, at_operation=at, twin="not-decided")
        if starter.train(run).code != 0:
            return
    pytest.fail("no kill was noticed")


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_no_kill_at_all_leaves_a_third_run(
    decision: Decision, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """At every durable operation, started again both ways, by a kill and by a power cut; and 100 pairs of kills, the
    second in the restart."""
    run, chance = tmp_path / "run", random.Random(0)
    singles = [(at, None) for at in range(1, decision.operations)]
    pairs = [(chance.randrange(1, decision.operations), chance.randrange(1, 60)) for _ in range(100)]
    trials = [(*moments, bare, cut) for moments in singles + pairs for bare in (False, True) for cut in (False, True)]
    for first, second, bare, cut in trials:
        shutil.rmtree(run, ignore_errors=True)
        decision.killed_at(run, first, power_cut=cut)
        if second is not None:
            decision.starter.train(run, decision.bare if bare else decision.words, at_operation=second)
        wrong = decision.went_wrong(run, bare=bare)
        assert wrong == [], f"killed at operations {first} and {second}, bare: {bare}, power cut: {cut}"
    record_property(
        "tally", f"kills of train {decision.words}: {len(singles)} single, {len(pairs)} pairs, four times each"
    )
