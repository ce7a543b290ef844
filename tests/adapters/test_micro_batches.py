"""The loader's micro-batches through torch's DataLoader: the same stream, and a state that is a place in it."""

from pathlib import Path
from typing import Any

import pytest

from batchwright.adapters.micro_batches import ExactDataLoader, MicroBatches
from batchwright.adapters.places import Places
from batchwright.adapters.rows import RankBatches
from batchwright.foundation.errors import InputError
from batchwright.foundation.fingerprint import canonical_json
from batchwright.sequences.plan import Plan
from tests.adapters.streams import expected, loader_of, same, small_plan, take

# A machine may have fewer cores than the workers asked for; what they give is the same.
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")

SOURCES = [MicroBatches, RankBatches]
KINDS: list[Any] = [pytest.param(kind, id=kind.__name__) for kind in SOURCES]


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return small_plan(tmp_path)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("workers", [0, 1, 3])
def test_workers_do_not_change_the_stream(plan: Plan, kind: Any, workers: int) -> None:
    loader = loader_of(plan, 7, 2, 2, 1)
    found = take(ExactDataLoader(kind(loader), num_workers=workers), 10)
    assert all(same(item, want) for item, want in zip(found, expected(loader, 5), strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_a_loss_mask_goes_with_its_rows(tmp_path: Path, kind: Any) -> None:
    loader = loader_of(small_plan(tmp_path, masked=True), 7, 2, 2, 1)
    found, wanted = take(ExactDataLoader(kind(loader)), 10), expected(loader, 5)
    assert all(same(item, want) for item, want in zip(found, wanted, strict=True))
    assert any((want["loss_mask"][:, 1:] & ~want["loss_mask"][:, :-1]).any() for want in wanted)


@pytest.mark.parametrize("kind", KINDS)
def test_a_number_of_steps_ends_the_stream(plan: Plan, kind: Any) -> None:
    assert len(list(ExactDataLoader(kind(loader_of(plan, 7, 2), steps=3)))) == 12


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("taken", [0, 1, 4, 5, 8])
def test_resumed_with_other_workers_the_next_is_still_the_next(plan: Plan, kind: Any, taken: int) -> None:
    """Workers had read ahead; what counts is what was handed out. Also after a second resume, in another epoch."""
    wanted = expected(loader_of(plan, 7, 2), 40)
    first = ExactDataLoader(kind(loader_of(plan, 7, 2)), num_workers=2)
    take(first, taken)
    second = ExactDataLoader(kind(loader_of(plan, 7, 2)))
    second.load_state_dict(first.state_dict())
    found = take(second, 100)
    third = ExactDataLoader(kind(loader_of(plan, 7, 2)), num_workers=1)
    third.load_state_dict(second.state_dict())
    found += take(third, 40)
    assert all(same(item, want) for item, want in zip(found, wanted[taken : taken + 140], strict=True))
    assert third.state_dict()["position"] > plan.index.row_count


def test_at_a_steps_edge_another_world_goes_on(plan: Plan) -> None:
    before = ExactDataLoader(MicroBatches(loader_of(plan, 6, 3)))
    take(before, 4)
    state = before.state_dict()
    assert (state["position"], state["taken"]) == (12, 0)
    seen: list[int] = []
    for rank in range(4):
        data = ExactDataLoader(MicroBatches(loader_of(plan, 6, 1, 4, rank), steps=2))
        data.load_state_dict(state)
        seen += [int(place) for item in data for place in item["positions"] if place >= 0]
    assert sorted(seen) == list(range(12, 24))


def test_inside_a_step_another_cut_is_refused(plan: Plan) -> None:
    before = ExactDataLoader(MicroBatches(loader_of(plan, 6, 3)))
    take(before, 1)
    after = ExactDataLoader(MicroBatches(loader_of(plan, 6, 2)))
    after.load_state_dict(before.state_dict())
    with pytest.raises(InputError, match="1 of 2 micro-batches"):
        take(after, 1)


def test_the_state_is_small_and_belongs_to_its_plan(plan: Plan, tmp_path: Path) -> None:
    state = ExactDataLoader(MicroBatches(loader_of(plan, 6, 3))).state_dict()
    assert len(canonical_json(state)) < 1024
    other = ExactDataLoader(MicroBatches(loader_of(small_plan(tmp_path / "other", seed=2), 6, 3)))
    with pytest.raises(InputError, match="seed"):
        other.load_state_dict(state)
    with pytest.raises(InputError, match="no place"):
        ExactDataLoader(MicroBatches(loader_of(plan, 6, 3))).load_state_dict({**state, "taken": 5, "of": 2})


def test_a_state_that_forgets_what_was_handed_out_would_be_caught(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """The twin says the step's position alone, as a sampler's own state does."""
    whole = Places.state_dict
    monkeypatch.setattr(Places, "state_dict", lambda self: {**whole(self), "taken": 0, "of": 0})
    with pytest.raises(AssertionError):
        test_resumed_with_other_workers_the_next_is_still_the_next(plan, MicroBatches, 5)


@pytest.mark.parametrize("option", [{"shuffle": True}, {"batch_size": 4}, {"persistent_workers": True}])
def test_what_would_change_the_stream_is_refused(plan: Plan, option: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        ExactDataLoader(MicroBatches(loader_of(plan, 6, 3)), **option)
