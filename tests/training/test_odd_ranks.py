"""Models and optimizers that one process trains and DDP or FSDP have trouble with: they train the same curve, or are
refused in words on every rank."""

from pathlib import Path
from typing import Any

import pytest

from batchwright.training.run_log import read_log
from tests.training.counting_store import counting_indexes
from tests.training.rank_groups import Groups


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    place = tmp_path_factory.mktemp("store")
    counting_indexes(place, documents=40)  # here, so that no two ranks write it
    return str(place)


def losses(run: Path) -> list[float]:
    return [record["loss"] for record in read_log(run / "metrics.jsonl")]


def refused(groups: Groups, ranks: int, **job: Any) -> str:
    """The sentence that all ranks say."""
    answers = groups.answers(ranks, "train", **job)
    assert all(answer == answers[0] for answer in answers), answers
    return answers[0]["error"]


def test_a_parameter_without_a_gradient_is_named_before_ddp_forgets_others_beside_it(
    groups: Groups, store: str, tmp_path: Path
) -> None:
    said = refused(groups, 2, store=store, run=str(tmp_path), kind="Unused", until_step=1)
    assert "no gradient to spare.weight, spare.bias" in said
    assert "requires_grad = False" in said


def test_a_parameter_of_a_single_number_cannot_be_sliced(groups: Groups, store: str, tmp_path: Path) -> None:
    said = refused(groups, 2, store=store, run=str(tmp_path), kind="OneNumber", form="fsdp", until_step=1)
    assert said.startswith("gain: ")
    assert 'parallel = "ddp"' in said


def test_a_block_whose_weight_is_tied_to_the_rest_stays_tied_when_sliced(
    groups: Groups, store: str, tmp_path: Path
) -> None:
    alone, sliced = tmp_path / "alone", tmp_path / "sliced"
    job = {"store": store, "kind": "TiedBlock"}
    groups.values(1, "train", run=str(alone), until_step=5, **job)
    groups.values(1, "train", run=str(sliced), until_step=3, **job)
    groups.values(2, "train", run=str(sliced), until_step=5, form="fsdp", **job)
    assert losses(sliced) == pytest.approx(losses(alone), rel=1e-5)


@pytest.mark.parametrize(
    ("name", "changes", "model"),
    [
        ("a weight as long as the pair of betas", {}, {"width": 2, "heads": 1}),
        pytest.param("sgd", {"optimizer": "sgd"}, {}, marks=pytest.mark.slow),
        ("an optimizer without state", {"optimizer": "sgd", "momentum": 0.0}, {}),
    ],
)
def test_a_sliced_run_is_stopped_and_taken_up(
    groups: Groups, store: str, tmp_path: Path, name: str, changes: dict[str, Any], model: dict[str, Any]
) -> None:
    alone, passed_on = tmp_path / "alone", tmp_path / "passed on"
    job = {"store": store, "changes": changes, "model": model}
    groups.values(1, "train", run=str(alone), **job)
    for until_step in (4, None):
        groups.values(2, "train", run=str(passed_on), form="fsdp", until_step=until_step, **job)
    assert losses(passed_on) == pytest.approx(losses(alone), rel=1e-5), name


@pytest.mark.parametrize("begun", [None, "ddp"], ids=["begun", "taken up"])
def test_a_state_that_fsdp_cannot_slice_is_refused(
    groups: Groups, store: str, tmp_path: Path, begun: str | None
) -> None:
    job = {"store": store, "run": str(tmp_path), "changes": {"optimizer": "tests.training.odd_optimizers:factored"}}
    if begun:
        groups.values(2, "train", form=begun, until_step=2, **job)
    said = refused(groups, 2, form="fsdp", **job)
    assert "the optimizer keeps rows/" in said
    assert 'parallel = "ddp"' in said


def test_an_optimizer_that_has_no_step_on_slices_says_so(groups: Groups, store: str, tmp_path: Path) -> None:
    changes = {"optimizer": "tests.training.odd_optimizers:adafactor"}
    said = refused(groups, 2, store=store, run=str(tmp_path), changes=changes, form="fsdp", until_step=1)
    assert "Adafactor cannot work on slices of weights" in said
