"""Runs on many ranks: the curve of one process, checkpoints that any number of ranks continues, and refusals that
reach every rank."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from batchwright.foundation.errors import InputError
from batchwright.foundation.files import read_json
from batchwright.training.checkpoint import load_model
from batchwright.training.ranks import RankLostError, Ranks, lost_ranks_named, started_ranks
from batchwright.training.run_log import read_log
from tests.training.rank_groups import Groups

CLOCKS = ("seconds", "tokens_per_second")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ranks")


def train(groups: Groups, place: Path, run: str, ranks: int, form: str = "ddp", **how: Any) -> list[Any]:
    return groups.values(ranks, "train", store=str(place / "store"), run=str(place / run), form=form, **how)


def curve(run: Path) -> list[dict[str, Any]]:
    return [{k: v for k, v in r.items() if k not in CLOCKS} for r in read_log(run / "metrics.jsonl")]


def losses(run: Path) -> list[float]:
    return [record["loss"] for record in curve(run)]


def data_of(run: Path) -> list[object]:
    """What was eaten, in which order."""
    return [(r["first_position"], r["targets"], r["certificate"]) for r in curve(run) if r["kind"] == "step"]


def final_bytes(run: Path) -> dict[str, bytes]:
    newest = run / "checkpoints" / "step-12"
    return {path.name: path.read_bytes() for path in newest.glob("*.safetensors")}


@pytest.fixture(scope="module")
def alone(groups: Groups, place: Path) -> Path:
    (result,) = train(groups, place, "alone", 1)
    assert result == {"reason": "finished", "step": 12, "resumed_from": None}
    return place / "alone"


def test_the_ranks_words_reach_all_of_them(groups: Groups) -> None:
    values = groups.values(3, "messages")
    assert all(v["gathered"] == [{"rank": r, "text": "ü" * r} for r in range(3)] for v in values)
    assert all(v["certificate"] == (3 * (2**64 - 1) - 3) % 2**64 for v in values)
    assert all((v["any"], v["none"]) == (True, False) for v in values)
    assert all("no room here" in v["failure"] for v in values)
    assert "rank 2" in values[0]["failure"]


slow = pytest.mark.slow


@pytest.mark.parametrize(
    ("ranks", "form"),
    [(2, "ddp"), pytest.param(3, "ddp", marks=slow), (2, "fsdp"), pytest.param(3, "fsdp", marks=slow)],
)
def test_many_ranks_train_the_curve_of_one(groups: Groups, place: Path, alone: Path, ranks: int, form: str) -> None:
    run = f"{form}-{ranks}"
    results = train(groups, place, run, ranks, form)
    assert {json.dumps(result) for result in results} == {json.dumps(results[0])}
    assert data_of(place / run) == data_of(alone)
    assert losses(place / run) == pytest.approx(losses(alone), rel=1e-5)
    ours, theirs = (load_model(r / "checkpoints" / "step-12").state_dict() for r in (place / run, alone))
    assert all(torch.allclose(ours[name], theirs[name], rtol=1e-3, atol=1e-4) for name in theirs)


@pytest.mark.parametrize(
    ("ranks", "form"),
    [(2, "fsdp"), pytest.param(3, "ddp", marks=slow), pytest.param(3, "fsdp", marks=slow)],
)
def test_as_many_ranks_in_the_same_form_go_on_bit_for_bit(groups: Groups, place: Path, ranks: int, form: str) -> None:
    whole, pieces = place / f"{form}-{ranks}-whole", place / f"{form}-{ranks}-pieces"
    train(groups, place, whole.name, ranks, form)
    for until_step in (5, None):
        train(groups, place, pieces.name, ranks, form, until_step=until_step)
    assert curve(pieces) == curve(whole)
    assert final_bytes(pieces) == final_bytes(whole)


def test_a_checkpoint_is_continued_on_any_number_of_ranks_in_any_form(groups: Groups, place: Path, alone: Path) -> None:
    for until_step, ranks, form in ((2, 2, "ddp"), (4, 3, "fsdp"), (9, 2, "fsdp")):
        train(groups, place, "wandering", ranks, form, until_step=until_step)
    (result,) = train(groups, place, "wandering", 1)
    assert result["resumed_from"] == 9
    assert data_of(place / "wandering") == data_of(alone)
    assert losses(place / "wandering") == pytest.approx(losses(alone), rel=1e-5)


def test_re_sharding_moves_every_number_and_changes_none(groups: Groups, place: Path) -> None:
    """Saved on one process, cut into three by a run that has nothing left to do but save, and put together again."""
    train(groups, place, "cut", 1, until_step=3)
    newest = place / "cut" / "checkpoints" / "step-3"
    before = {kind: safetensors.torch.load_file(newest / f"{kind}.safetensors") for kind in ("model", "optimizer")}
    again = groups.values(3, "save_again", store=str(place / "store"), run=str(place / "cut"), form="fsdp")
    assert again == [3, 3, 3]
    state = read_json(place / "cut" / "again" / "step-3" / "state.json")
    assert sorted(state["files"]) == sorted(f"{k}-0000{r}-of-00003.safetensors" for k in before for r in (1, 2, 3))
    for kind, tensors in before.items():
        assert state["tensors"][kind].keys() == tensors.keys()
        for name, tensor in tensors.items():
            entry = state["tensors"][kind][name]
            parts = [
                safetensors.torch.load_file(place / "cut" / "again" / "step-3" / piece["file"])[name]
                for piece in entry["slices"]
            ]
            assert entry["shape"] == list(tensor.shape)
            assert torch.equal(torch.cat(parts) if tensor.ndim else parts[0], tensor)


@pytest.mark.parametrize(
    ("own", "named"),
    [
        ({"training": {"learning_rate": 0.5}}, "training.learning_rate"),
        ({"training": {"micro_batch_size": 1}}, "training.micro_batch_size"),
        ({"model": {"layers": 1}}, "model.layers"),
        ({"seed_of_plan": 9}, "seed"),
    ],
    ids=["recipe", "micro-batch", "model", "plan"],
)
def test_ranks_that_disagree_are_refused_on_all_of_them_before_anything_is_trained(
    groups: Groups, place: Path, tmp_path: Path, own: dict[str, Any], named: str
) -> None:
    answers = groups.answers(2, "train", store=str(place / "store"), run=str(tmp_path), of_rank={"1": own})
    for answer in answers:
        assert "rank 1 and rank 0 do not train the same thing" in answer["error"]
        assert named in answer["error"]
    assert list(tmp_path.iterdir()) == []


def test_what_one_rank_finds_wrong_all_of_them_say(groups: Groups, place: Path) -> None:
    train(groups, place, "flipped", 2, "fsdp", until_step=2)
    path = place / "flipped" / "checkpoints" / "step-2" / "optimizer-00002-of-00002.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    answers = groups.answers(3, "train", store=str(place / "store"), run=str(place / "flipped"))
    assert all("optimizer-00002-of-00002" in answer["error"] for answer in answers)
    assert all("remove step-2 to go on" in answer["error"] for answer in answers)


def test_all_ranks_stop_at_the_step_at_which_one_is_asked_to(groups: Groups, place: Path, alone: Path) -> None:
    results = train(groups, place, "asked", 3, of_rank={"2": {"ask_at": 5}})
    assert [result["reason"] for result in results] == ["interrupted"] * 3
    assert len({result["step"] for result in results}) == 1
    train(groups, place, "asked", 2)
    assert data_of(place / "asked") == data_of(alone)


def test_a_rank_that_dies_ends_the_others_with_a_sentence(groups: Groups, place: Path, alone: Path) -> None:
    answers = groups.answers(
        2, "train", store=str(place / "store"), run=str(place / "died"), of_rank={"1": {"die_at": 8}}
    )
    assert answers[1]["error"] == "died"
    assert "another rank ended while this one waited for it" in answers[0]["error"]
    results = train(groups, place, "died", 3)
    assert results[0]["resumed_from"] in (3, 6)
    assert data_of(place / "died") == data_of(alone)
    assert losses(place / "died") == pytest.approx(losses(alone), rel=1e-5)


def test_the_noise_is_the_same_on_one_and_two_ranks(groups: Groups) -> None:
    (alone,) = groups.values(1, "noise")
    pair = groups.values(2, "noise")
    assert pair[0] == pair[1]
    assert pair[0] == pytest.approx(alone, rel=1e-6)


def test_one_process_needs_no_group(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    with started_ranks() as ranks:
        assert (ranks.rank, ranks.size) == (0, 1)
    assert Ranks().gather("x") == ["x"]
    assert Ranks().sums([0.1]) == [0.1]
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="no GPU"), started_ranks("cuda"):
            pass


def test_only_a_lost_connection_is_called_one() -> None:
    with pytest.raises(RankLostError, match="another rank ended"), lost_ranks_named():
        raise RuntimeError("[gloo] Connection closed by peer [127.0.0.1]:123")
    with pytest.raises(RuntimeError, match="shapes"), lost_ranks_named():
        raise RuntimeError("shapes differ")


def test_every_field_of_a_checkpoint_is_on_the_page_of_formats(groups: Groups, place: Path) -> None:
    train(groups, place, "page", 2, "fsdp", until_step=1)
    state = read_json(place / "page" / "checkpoints" / "step-1" / "state.json")
    page = (Path(__file__).parents[2] / "docs" / "formats.md").read_text(encoding="utf-8").split("## A checkpoint")[1]
    entry = next(iter(state["tensors"]["model"].values()))
    fields = {*state, *state["tensors"], *entry, *entry["slices"][0], *next(iter(state["files"].values()))}
    assert fields <= set(re.findall(r"`(\w+)`", page))
    assert "`model-00001-of-00002.safetensors`" in page
    assert f"`version` ({state['version']})" in page


@pytest.mark.parametrize(
    "told",
    [{"WORLD_SIZE": "2"}, {"WORLD_SIZE": "two", "RANK": "0"}, {"WORLD_SIZE": "2", "RANK": "0"}, {"RANK": "7"}],
    ids=["no rank", "no number", "no address", "rank beyond size"],
)
def test_an_environment_that_tells_half_of_the_ranks_is_refused_at_once(
    monkeypatch: pytest.MonkeyPatch, told: dict[str, str]
) -> None:
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match="which rank of how many"), started_ranks():
        pass
