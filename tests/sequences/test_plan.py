"""The plan: a name for a stream, read back from JSON, refused over other data with the difference named."""

import json
from pathlib import Path

import pytest

from batchwright.foundation.errors import InputError
from batchwright.sequences.index_build import build_index
from batchwright.sequences.packing import Concatenate
from batchwright.sequences.plan import Plan, differing
from batchwright.sequences.stage import Source, Stage
from tests.sequences.small_store import write_store


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return Plan.of(build_index(write_store(tmp_path, [5, 3, 9, 2]), sequence_length=6), seed=3)


def test_a_plan_is_read_back_from_its_json(plan: Plan) -> None:
    again = Plan.from_dict(json.loads(json.dumps(plan.to_dict())), [plan.index])
    assert again.hash == plan.hash


def test_everything_that_changes_the_stream_changes_the_hash(plan: Plan, tmp_path: Path) -> None:
    store = write_store(tmp_path, [5, 3, 9, 2])
    others = [
        Plan.of(plan.index, seed=4),
        Plan.of(plan.index, seed=3, name="other"),
        Plan.of(build_index(store, sequence_length=7), seed=3),
        Plan.of(build_index(store, sequence_length=6, packing=Concatenate()), seed=3),
        Plan.of(build_index(write_store(tmp_path / "b", [5, 3, 9, 3]), sequence_length=6), seed=3),
    ]
    assert len({plan.hash, *[other.hash for other in others]}) == 6


def test_a_missing_index_is_named(plan: Plan) -> None:
    with pytest.raises(InputError, match=plan.index.fingerprint):
        Plan.from_dict(plan.to_dict(), [])


def test_a_plan_whose_words_do_not_fit_its_index_is_refused(plan: Plan) -> None:
    value = plan.to_dict()
    value["stages"][0]["sequence_length"] = 99
    with pytest.raises(InputError, match=r"stages\[0\].sequence_length: 99 there, 6 here"):
        Plan.from_dict(value, [plan.index])


def test_what_makes_no_plan_is_refused(plan: Plan) -> None:
    source = Source(name="a", index=plan.index)
    with pytest.raises(InputError, match="same name: a, a"):
        Stage(first_position=0, seed=0, sources=(source, source))
    with pytest.raises(InputError, match="weight 0"):
        Source(name="a", index=plan.index, weight=0)
    with pytest.raises(InputError, match="position 5"):
        Plan(stages=(Stage(first_position=5, seed=0, sources=(source,)),))
    with pytest.raises(InputError, match="0 stages"):
        Plan(stages=())
    with pytest.raises(InputError, match="version"):
        Plan.from_dict({"format": "batchwright-plan", "version": 99}, [])


def test_differences_are_said_in_words() -> None:
    assert list(differing({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}]})) == ["a[1].b: 2 there, 3 here"]
