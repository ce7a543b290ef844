"""The curve holds what was run, and is not stretched beyond it."""

import math

import pytest

from batchwright.foundation.errors import InputError
from batchwright.measuring.throughput import Throughput, ThroughputPoint, measure_throughput
from batchwright.model.config import ModelConfig

MODEL = ModelConfig(vocabulary_size=128, sequence_length=16, width=16, layers=1, heads=2, feed_forward_width=24)


def test_every_size_is_measured_and_larger_micro_batches_share_the_overhead():
    curve = measure_throughput(MODEL, micro_batch_sizes=(8, 1), seconds=3, rounds=3)
    assert [point.micro_batch_size for point in curve.points] == [1, 8]
    one, eight = curve.points
    assert eight.tokens_per_second > 1.5 * one.tokens_per_second
    assert all(p.lower_quartile <= p.tokens_per_second <= p.upper_quartile for p in curve.points)
    assert all(2 <= p.rounds <= 3 and p.tokens_per_cpu_second > 0 for p in curve.points)
    assert curve.best is eight
    assert curve.optimizer_seconds > 0


def test_time_that_is_up_ends_the_rounds_but_leaves_a_median():
    curve = measure_throughput(MODEL, micro_batch_sizes=(1,), seconds=0.0, rounds=50)
    assert curve.points[0].rounds == 2


def curve_of(*rates: tuple[int, float]) -> Throughput:
    points = tuple(
        ThroughputPoint(
            micro_batch_size=size,
            tokens_per_second=rate,
            tokens_per_cpu_second=rate,
            lower_quartile=rate,
            upper_quartile=rate,
            rounds=3,
        )
        for size, rate in rates
    )
    return Throughput(points=points, optimizer_seconds=0.5, sequence_length=10, flops_per_token=1)


def test_between_measured_sizes_it_interpolates_and_beyond_it_refuses():
    curve = curve_of((1, 100.0), (4, 400.0), (16, 200.0))
    assert curve.at(4) == pytest.approx(400.0)
    assert curve.at(2) == pytest.approx(200.0)
    assert curve.at(8) == pytest.approx(math.sqrt(400.0 * 200.0))
    with pytest.raises(InputError, match="1 to 16 were"):
        curve.at(17)


def test_a_step_is_its_micro_batches_and_one_optimizer_update():
    assert curve_of((1, 100.0), (4, 400.0)).step_seconds(4, 3) == pytest.approx(4 * 10 * 3 / 400.0 + 0.5)


def test_no_sizes_no_curve():
    with pytest.raises(InputError, match="micro-batch sizes"):
        measure_throughput(MODEL, micro_batch_sizes=(0,))
