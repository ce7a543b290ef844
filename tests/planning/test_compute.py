"""FLOPs of steps and runs; tests/laws holds the count per token against torch's own counter."""

import pytest

from batchwright.batches.geometry import BatchGeometry
from batchwright.foundation.errors import InputError
from batchwright.model.presets import PRESETS
from batchwright.planning.compute import attention_flops_per_token, run_flops, step_compute, utilisation

TINY = PRESETS["tiny"]


def test_filler_rows_cost_as_much_as_text_and_are_told_apart():
    geometry = BatchGeometry(global_batch_size=10, micro_batch_size=4, sequence_length=128)
    compute = step_compute(TINY, geometry)
    assert compute.flops == TINY.flops_per_token(128) * 12 * 128
    assert compute.useful_flops == TINY.flops_per_token(128) * 10 * 128


def test_only_attention_grows_with_the_length():
    assert attention_flops_per_token(TINY, 128) == 12 * TINY.layers * TINY.width * 128
    short = step_compute(TINY, BatchGeometry(global_batch_size=1, micro_batch_size=1, sequence_length=128))
    long = step_compute(TINY, BatchGeometry(global_batch_size=1, micro_batch_size=1, sequence_length=1024))
    assert short.attention_share < long.attention_share < 1


def test_gpt2_needs_its_published_work_per_token():
    # 6·124 M + 12·12·768·1024 = 0.86 GFLOP: within 1 % for our SwiGLU shape of the same size.
    assert run_flops(PRESETS["gpt2-124m"], tokens=1) == pytest.approx(0.857e9, rel=0.01)


def test_utilisation_is_a_share_of_the_peak():
    assert utilisation(tokens_per_second=1000, flops_per_token=5e8, peak_flops_per_second=1e12) == pytest.approx(0.5)
    with pytest.raises(InputError, match="positive"):
        utilisation(tokens_per_second=1, flops_per_token=1, peak_flops_per_second=0)
