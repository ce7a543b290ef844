"""What could not train is refused with its name; what names a run is apart from what may change."""

from dataclasses import replace
from typing import Any

import pytest

from batchwright.foundation.errors import InputError
from batchwright.sequences.batch_rule import ConstantBatch
from batchwright.training.config import FREE_FIELDS, TrainingConfig

GOOD = TrainingConfig(global_batch_size=8, micro_batch_size=4, sequence_length=16, tokens=10_000, learning_rate=1e-3)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("global_batch_size", 0),
        ("micro_batch_size", 0),
        ("sequence_length", 0),
        ("tokens", 0),
        ("learning_rate", 0.0),
        ("warmup_tokens", -1),
        ("final_fraction", 1.5),
        ("betas", (0.9, 1.0)),
        ("epsilon", 0.0),
        ("weight_decay", -0.1),
        ("clip_norm", 0.0),
        ("decay", "exponential"),
        ("loss", "mean"),
        ("evaluate_every_tokens", 0),
        ("keep_checkpoints", 0),
        ("threads", 0),
        ("threads", 1_000_000),
        ("tokens", 2**62),
        ("global_batch_size", 2**60),
        ("learning_rate", float("inf")),
        ("epsilon", float("inf")),
        ("weight_decay", float("inf")),
        ("clip_norm", float("inf")),
    ],
)
def test_a_value_that_cannot_train_is_refused_by_name(field: str, value: Any) -> None:
    with pytest.raises(InputError, match=field):
        replace(GOOD, **{field: value})


def test_a_warm_up_as_long_as_the_run_is_refused_with_a_better_one() -> None:
    with pytest.raises(InputError) as caught:
        replace(GOOD, warmup_tokens=10_000)
    assert caught.value.remedy == "warmup_tokens = 200 (2 %)"


def test_the_hash_names_what_the_curve_depends_on() -> None:
    assert replace(GOOD, micro_batch_size=2, keep_checkpoints=9, evaluate_every_tokens=5).hash == GOOD.hash
    assert replace(GOOD, learning_rate=2e-3).hash != GOOD.hash
    assert set(GOOD.to_dict()) >= FREE_FIELDS


def test_a_ramp_is_a_rule_of_the_global_batch() -> None:
    assert GOOD.batch_rule == ConstantBatch(size=GOOD.global_batch_size)
    ramp = replace(GOOD, global_batch_size=64, ramp="linear", ramp_from=4, ramp_tokens=1000).batch_rule
    assert [ramp.size_at(slots) for slots in (0, 500, 1000)] == [4, 34, 64]
    doubling = replace(GOOD, global_batch_size=50, ramp="doubling", ramp_from=4, ramp_tokens=10).batch_rule
    assert [doubling.size_at(slots) for slots in (0, 10, 30, 10**9)] == [4, 8, 32, 50]
    with pytest.raises(InputError, match="ramp_from = None"):
        replace(GOOD, ramp="linear", ramp_tokens=1000)
    with pytest.raises(InputError, match="grows from 90"):
        replace(GOOD, ramp="linear", ramp_from=90, ramp_tokens=1000)
