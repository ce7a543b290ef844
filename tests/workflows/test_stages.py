"""A stage runs once for the same dependencies, and again when they change or its result is gone."""

from pathlib import Path

import pytest

from batchwright.workflows.stages import Json, Stages


def test_a_result_is_found_again_by_what_it_depends_on(tmp_path: Path) -> None:
    runs: list[int] = []

    def run() -> Json:
        runs.append(1)
        return {"value": len(runs)}

    assert Stages(tmp_path).done("a", {"seed": 0}, run) == {"value": 1}
    again = Stages(tmp_path)
    assert again.is_done("a", {"seed": 0})
    assert again.done("a", {"seed": 0}, run) == {"value": 1}
    assert again.ran == []
    assert again.done("a", {"seed": 1}, run) == {"value": 2}
    assert again.ran == ["a"]


def test_a_stage_that_fails_leaves_nothing_and_a_damaged_result_is_made_again(tmp_path: Path) -> None:
    def fail() -> Json:
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        Stages(tmp_path).done("a", 0, fail)
    assert not Stages(tmp_path).is_done("a", 0)
    Stages(tmp_path).done("a", 0, lambda: {"value": 1})
    (tmp_path / "a.json").write_text("{", encoding="utf-8")
    assert Stages(tmp_path).done("a", 0, lambda: {"value": 2}) == {"value": 2}
