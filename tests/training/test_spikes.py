"""The rule for spikes on made curves: planted jumps are found, falling and noisy curves raise no alarm."""

from dataclasses import asdict

import numpy as np
import pytest

from batchwright.training.spikes import Spike, SpikeWatch
from batchwright.training.step import StepRecord

TOKENS = 100  # of a step


def record(step: int, loss: float, norm: float = 1.0) -> StepRecord:
    return StepRecord(
        step=step,
        tokens=step * TOKENS,
        targets=TOKENS,
        first_position=8 * (step - 1),
        sequences=8,
        certificate="",
        loss=loss,
        gradient_norm=norm,
        learning_rate=0.1,
        seconds=1.0,
        tokens_per_second=1.0,
    )


def curve(steps: int, noise: float = 0.05, seed: int = 0) -> np.ndarray:
    """A loss that falls from 8 to about 3, with independent noise."""
    return 3 + 5 * np.exp(-np.arange(steps) / 200) + noise * np.random.default_rng(seed).standard_normal(steps)


def norms(steps: int, seed: int = 0) -> np.ndarray:
    """Log-normal, as gradient norms are."""
    return np.exp(0.2 * np.random.default_rng(seed + 99).standard_normal(steps))


def watch(losses: np.ndarray, gradient_norms: np.ndarray, *, window: int = 64 * TOKENS) -> list[Spike]:
    looking = SpikeWatch(window_tokens=window)
    records = [record(i + 1, float(x), float(n)) for i, (x, n) in enumerate(zip(losses, gradient_norms, strict=True))]
    return [spike for each in records if (spike := looking.look(each, stop_position=each.first_position + 8))]


def test_planted_jumps_are_found_with_their_positions_and_their_size() -> None:
    losses, gradients = curve(1000), norms(1000)
    losses[400] += 1.0
    gradients[700] = 30.0
    loss, gradient = watch(losses, gradients)
    assert (loss.step, loss.first_position, loss.stop_position) == (401, 3200, 3208)
    assert loss.loss_deviations is not None
    assert loss.loss_deviations > 6
    assert loss.gradient_deviations is None
    assert (gradient.step, gradient.loss_deviations) == (701, None)
    assert gradient.gradient_deviations is not None
    assert gradient.usual_gradient_norm == pytest.approx(1.0, rel=0.2)


def test_neighbouring_steps_are_one_spike_and_later_ones_another() -> None:
    losses = curve(1000)
    losses[[400, 402, 405, 600]] += 2.0
    assert [(spike.step, spike.began) for spike in watch(losses, norms(1000))] == [
        (401, 401),
        (403, 401),
        (406, 401),
        (601, 601),
    ]


def test_ordinary_noise_raises_no_alarm() -> None:
    alarms = sum(len(watch(curve(4000, noise=0.15, seed=seed), norms(4000, seed))) for seed in range(2))
    assert alarms <= 1


def test_a_fall_and_a_curve_that_hardly_moves_are_no_spikes() -> None:
    losses = curve(300)
    losses[200] -= 2.0
    assert watch(losses, norms(300)) == []
    still = np.full(300, 3.0)
    still[200] = 3.1
    assert watch(still, np.ones(300)) == []
    still[200] = 3.5
    assert [spike.step for spike in watch(still, np.ones(300))] == [201]


def test_what_is_usual_is_a_window_of_tokens() -> None:
    losses = np.concatenate([np.linspace(10, 5, 100), curve(300)[200:]])
    losses[110] += 2  # below the level of a hundred steps before, far above the ten steps before
    assert watch(losses, np.ones(200), window=200 * TOKENS) == []
    losses[150] += 2
    assert [spike.step for spike in watch(losses, np.ones(200), window=32 * TOKENS)] == [151]


def test_too_few_steps_judge_nothing_and_none_switches_it_off() -> None:
    losses = np.full(100, 3.0)
    losses[16] = 9.0
    assert watch(losses[:17], np.ones(17)) != []
    assert watch(losses[1:17], np.ones(16)) == []
    off = SpikeWatch(window_tokens=64 * TOKENS, deviations=None)
    assert all(off.look(record(i + 1, float(x)), stop_position=0) is None for i, x in enumerate(losses))


def test_taken_up_from_a_log_it_finds_the_same_spikes() -> None:
    losses, gradients = curve(1000), norms(1000)
    losses[[400, 404, 408]] += 2.0
    whole = watch(losses, gradients)
    for cut in (398, 402, 405):
        looking, found = SpikeWatch(window_tokens=64 * TOKENS), []
        log = [{"kind": "step", **asdict(record(i + 1, losses[i], gradients[i]))} for i in range(cut)]
        log += [{"kind": "spike", **asdict(spike)} for spike in whole if spike.step <= cut]
        looking.remember(log)
        for i in range(cut, 1000):
            if spike := looking.look(record(i + 1, float(losses[i]), float(gradients[i])), stop_position=8 * i + 8):
                found.append(spike)
        assert found == [spike for spike in whole if spike.step > cut]
