"""The verdict follows the data: the opposite outcomes give the opposite verdict, and close ones none."""

from dataclasses import replace

import pytest

from batchwright.foundation.errors import InputError
from batchwright.measuring.batch_sweep import RunOutcome
from batchwright.measuring.stability import Stability
from batchwright.measuring.verdict import SweepVerdict, verdict_of

Losses = dict[tuple[int, bool], float]

SMALL_IS_BEST: Losses = {
    (8, False): 3.0,
    (8, True): 3.2,
    (32, False): 3.4,
    (128, False): 4.0,
    (128, True): 3.7,
}


def outcome(size: int, adjusted: bool, seed: int, loss: float | None) -> RunOutcome:
    return RunOutcome(
        global_batch_size=size,
        tokens_per_step=size * 10,
        adjusted=adjusted,
        seed=seed,
        learning_rate=1e-3,
        losses=(5.0,) * (1280 // size),
        evaluations=(),
        validation_loss=loss,
        diverged_at_step=None if loss is not None else 3,
        stability=Stability(step_spread=0.1, spikes=seed, spike_steps=(), steps_judged=0),
        wall_seconds=2.0,
        cpu_seconds=2.0,
    )


def sweep(means: Losses, *, noise: float = 0.01, seeds: int = 2) -> list[RunOutcome]:
    """Every seed shifts all cells alike (0.5 nats), and each cell a little by itself."""
    return [
        outcome(size, adjusted, seed, mean + 0.5 * seed + noise * (-1) ** (place + seed))
        for place, ((size, adjusted), mean) in enumerate(means.items())
        for seed in range(seeds)
    ]


def judged(means: Losses, **given: float) -> SweepVerdict:
    return verdict_of(sweep(means, **given), reference_batch_size=32)


def test_the_verdict_names_the_best_batch_and_which_differences_are_real():
    verdict = judged(SMALL_IS_BEST)
    assert (verdict.best.global_batch_size, verdict.best.adjusted) == (8, False)
    assert verdict.best_beats_other_sizes
    assert verdict.smaller_against_reference is not None
    assert verdict.smaller_against_reference.better == "a"
    assert verdict.larger_against_reference is not None
    assert verdict.larger_against_reference.better == "b"
    assert verdict.adjusting_smaller is not None
    assert verdict.adjusting_smaller.better == "b"
    assert verdict.adjusting_larger is not None
    assert verdict.adjusting_larger.better == "a"
    assert verdict.adjusting_larger.nats == pytest.approx(-0.3, abs=0.03)


def test_the_opposite_data_give_the_opposite_verdict():
    mirrored = judged({name: -loss for name, loss in SMALL_IS_BEST.items()})
    straight = judged(SMALL_IS_BEST)
    assert (mirrored.best.global_batch_size, mirrored.best.adjusted) == (128, False)
    for name in (
        "smaller_against_reference",
        "larger_against_reference",
        "adjusting_smaller",
        "adjusting_larger",
    ):
        one, other = getattr(straight, name), getattr(mirrored, name)
        assert {one.better, other.better} == {"a", "b"}, name
        assert one.nats == pytest.approx(-other.nats, abs=0.05)


def test_differences_within_the_seeds_spread_are_not_called_differences():
    verdict = judged(SMALL_IS_BEST, noise=1.0)
    assert not verdict.best_beats_other_sizes
    assert verdict.smaller_against_reference is not None
    assert verdict.smaller_against_reference.better is None
    assert verdict.margin is not None
    assert verdict.margin > 1.0


def test_a_shift_that_all_cells_of_a_seed_share_is_not_noise():
    verdict = judged(SMALL_IS_BEST, noise=0.0)
    assert verdict.noise == pytest.approx(0.0, abs=1e-9)


def test_the_spread_is_told_with_and_without_what_sampling_makes_of_it():
    verdict = judged(SMALL_IS_BEST)
    assert [cell.step_spread for cell in verdict.cells] == pytest.approx([0.1] * 5)
    assert verdict.cell(8, adjusted=False).scaled_spread == pytest.approx(0.05)
    assert verdict.cell(32, adjusted=False).scaled_spread == pytest.approx(0.1)
    assert verdict.cell(128, adjusted=True).scaled_spread == pytest.approx(0.2)


def test_one_seed_resolves_nothing():
    verdict = verdict_of(sweep(SMALL_IS_BEST, seeds=1), reference_batch_size=32)
    assert verdict.margin is None
    assert not verdict.best_beats_other_sizes
    assert verdict.best.global_batch_size == 8


def test_a_diverged_run_loses_and_leaves_the_noise_of_the_others():
    outcomes = sweep(SMALL_IS_BEST)
    broken = [
        replace(run, validation_loss=None, diverged_at_step=5)
        if (run.global_batch_size, run.adjusted, run.seed) == (128, True, 1)
        else run
        for run in outcomes
    ]
    verdict = verdict_of(broken, reference_batch_size=32)
    assert verdict.cell(128, adjusted=True).diverged == 1
    assert verdict.adjusting_larger is not None
    assert (verdict.adjusting_larger.better, verdict.adjusting_larger.nats) == ("b", None)
    assert verdict.noise is not None


def test_a_sweep_without_its_reference_or_without_a_survivor_is_refused():
    with pytest.raises(InputError, match="reference batch of 64"):
        verdict_of(sweep(SMALL_IS_BEST), reference_batch_size=64)
    with pytest.raises(InputError, match="every run"):
        verdict_of([outcome(32, False, 0, None)], reference_batch_size=32)
    with pytest.raises(InputError, match="no run had a batch of 5"):
        judged(SMALL_IS_BEST).cell(5, adjusted=False)
