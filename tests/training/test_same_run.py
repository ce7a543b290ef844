"""Two recipes are of one run as long as they would have trained the same."""

from dataclasses import replace

from batchwright.training.config import TrainingConfig
from batchwright.training.same_run import differences

CONFIG = TrainingConfig(
    global_batch_size=8,
    micro_batch_size=4,
    sequence_length=16,
    tokens=10_000,
    learning_rate=1e-3,
    warmup_tokens=500,
    decay="wsd",
    decay_share=0.2,
)


def differ(ours: TrainingConfig, tokens: int) -> list[str]:
    return differences(CONFIG.same_run(), ours, tokens=tokens)


def test_the_future_may_differ_and_the_past_may_not() -> None:
    longer = replace(CONFIG, tokens=20_000, decay_shape="linear", final_fraction=0.0)
    assert differ(longer, 8_000) == []
    assert differ(longer, 8_001) == [
        "decay_shape: '1-sqrt' there, 'linear' here",
        "final_fraction: 0.1 there, 0.0 here",
        "tokens: 10000 there, 20000 here",
    ]
    assert differ(replace(CONFIG, tokens=5_000), 4_000) == []
    assert differ(replace(CONFIG, tokens=5_000), 4_001) != []  # ours would have begun to decay


def test_a_cosine_is_bound_to_its_budget_from_the_end_of_the_warm_up_on() -> None:
    cosine = replace(CONFIG, decay="cosine")
    assert differences(cosine.same_run(), replace(cosine, tokens=20_000), tokens=500) == []
    assert differences(cosine.same_run(), replace(cosine, tokens=20_000), tokens=501) != []


def test_what_changes_no_result_is_not_compared_and_all_else_is() -> None:
    assert differ(replace(CONFIG, micro_batch_size=2, threads=1), 9_999) == []
    assert differ(replace(CONFIG, seed=1), 1) == ["seed: 0 there, 1 here"]


def test_a_field_that_an_older_checkpoint_does_not_know_is_as_its_default_was() -> None:
    older = {name: value for name, value in CONFIG.same_run().items() if name not in ("optimizer", "scale_with_batch")}
    assert differences(older, CONFIG, tokens=9_000) == []
    assert differences(older, replace(CONFIG, optimizer="sgd"), tokens=9_000) == [
        "optimizer: 'adamw' there, 'sgd' here"
    ]
