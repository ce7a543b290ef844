from dataclasses import replace

from batchwright.planning.memory import step_memory
from batchwright.workflows.demo import DemoSettings
from batchwright.workflows.plan import plan_run
from batchwright.workflows.strings import Say
from batchwright.workflows.telling.run_plan import tell_plan

RECIPE = DemoSettings().recipe("store")


def test_a_ramp_takes_more_steps_than_the_full_batch_alone() -> None:
    training = replace(RECIPE.training, ramp="doubling", ramp_from=4, ramp_tokens=200_000)
    plain, ramped = plan_run(RECIPE), plan_run(replace(RECIPE, training=training))
    assert plain.steps == -(-2_000_000 // 4096)
    seen, steps = 0, 0
    while seen < 2_000_000:
        seen += min(32, 4 << seen // 200_000) * 128
        steps += 1
    assert ramped.steps == steps > plain.steps
    assert any(reason.name == "batch ramp" for reason in ramped.hyperparameters())


def test_the_form_of_the_loss_reaches_the_memory() -> None:
    whole = plan_run(replace(RECIPE, training=replace(RECIPE.training, loss="whole")))
    expected = step_memory(RECIPE.model, micro_batch_size=8, sequence_length=128, accumulates=True, loss="whole")
    assert whole.memory.peak_bytes == expected.peak_bytes != plan_run(RECIPE).memory.peak_bytes


def test_what_the_closed_form_does_not_know_is_traced_and_the_plan_says_so() -> None:
    plain = plan_run(RECIPE)
    assert plain.memory.source == "closed form, planning.memory"
    training = replace(RECIPE.training, activation_checkpointing="full")
    for recipe in (replace(RECIPE, model=replace(RECIPE.model, norm="layer")), replace(RECIPE, training=training)):
        traced = plan_run(recipe)
        assert traced.to_json()["memory_source"] == "trace of the real step on fake tensors"
        assert any(reason.source == traced.memory.source for reason in traced.fitted.reasons)
        assert "peak (traced)" in str(tell_plan(traced, Say("en")))
    assert "peak (formula)" in str(tell_plan(plain, Say("en")))
    assert traced.memory.peak_bytes < plain.memory.peak_bytes


def test_another_optimizer_is_planned_with_its_own_state() -> None:
    weights = 4 * RECIPE.shape.parameter_count()
    parts = {}
    for momentum in (0.9, 0.0):
        training = replace(RECIPE.training, optimizer="sgd", momentum=momentum)
        plan = plan_run(replace(RECIPE, training=training))
        assert plan.memory.source == "trace of the real step on fake tensors"
        parts[momentum] = plan.memory.peak.parts
    assert (parts[0.9]["optimizer"], parts[0.0]["optimizer"]) == (weights, 0)
    assert plan_run(RECIPE).memory.peak.parts["optimizer"] >= 2 * weights
