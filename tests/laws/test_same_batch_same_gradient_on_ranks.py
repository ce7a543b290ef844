"""Law: however a global batch is cut into ranks, by DDP or FSDP, loss and gradient are those of one process.

No number of ranks divides the batch, one row has no target, and micro-batches are missing on some ranks (filler). The
broken twins are DDP as it comes, which averages, and the well-known accumulation bug: every rank divides by its own
number of targets.
"""

import numpy as np
import pytest

from tests.training.rank_groups import Groups

BOUND = {"float32": 1e-6, "float64": 1e-12}
BATCH = {"form": "ddp", "rows": 7, "micro_batch": 2, "seed": 3}


def error(groups: Groups, ranks: int, dtype: str, **changes: object) -> float:
    """The larger of the relative errors of loss and gradient on any rank, against one process."""
    arguments = {**BATCH, "dtype": dtype, **changes}
    (whole,) = groups.values(1, "gradient", **{**arguments, "twin": ""})
    expected = np.array(whole["gradient"])
    return max(
        max(
            abs(found["loss"] / whole["loss"] - 1),
            float(np.linalg.norm(np.array(found["gradient"]) - expected) / np.linalg.norm(expected)),
        )
        for found in groups.values(ranks, "gradient", **arguments)
    )


@pytest.mark.parametrize("dtype", BOUND)
@pytest.mark.parametrize("form", ["ddp", "fsdp"])
def test_ranks_give_the_gradient_of_one_process(groups: Groups, form: str, dtype: str) -> None:
    for ranks in (2, 3):
        assert error(groups, ranks, dtype, form=form) <= BOUND[dtype]
    assert error(groups, 3, dtype, form=form, rows=2, micro_batch=3, seed=8) <= BOUND[dtype]  # a rank without a row


@pytest.mark.parametrize("twin", ["ddp-mean", "own-targets"])
def test_the_broken_twins_are_caught(groups: Groups, twin: str) -> None:
    assert error(groups, 2, "float64", twin=twin) > 1e-2


def test_an_observer_sees_its_ranks_own_gradients_and_changes_no_bit(groups: Groups) -> None:
    for ranks in (2, 3):
        plain = groups.values(ranks, "gradient", **BATCH, dtype="float32")
        watched = groups.values(ranks, "gradient", **BATCH, dtype="float32", watch=True)
        assert [each["gradient"] for each in watched] == [each["gradient"] for each in plain]
        assert len({tuple(each["seen"]) for each in watched}) == ranks
    # The shares of all ranks add up to the whole, which their squares cannot; but each is that of its rows alone.
    (alone,) = groups.values(1, "gradient", **{**BATCH, "rows": 4, "micro_batch": 2}, dtype="float64", watch=True)
    pair = groups.values(2, "gradient", **{**BATCH, "rows": 4, "micro_batch": 2}, dtype="float64", watch=True)
    assert [square for each in pair for square in each["seen"]] == pytest.approx(alone["seen"], rel=1e-9)


def test_fsdp_refuses_an_observer_by_name(groups: Groups) -> None:
    answers = groups.answers(2, "gradient", **{**BATCH, "form": "fsdp"}, dtype="float32", watch=True)
    assert all("FSDP holds slices of gradients" in answer["error"] for answer in answers)
