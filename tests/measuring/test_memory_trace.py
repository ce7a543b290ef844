"""The trace against the allocator's own events, on code of this test and on the real step."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F

from batchwright.foundation.errors import InputError
from batchwright.measuring.memory_trace import MemoryTrace


def allocator_peak(work: Callable[[], object]) -> int:
    """Peak of the bytes that the CPU allocator itself reports while `work` runs."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profiler:
        work()
    events = profiler.profiler.kineto_results.events()
    moves = sorted((event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]")
    return int(np.cumsum([size for _, size in moves]).max())


def small_network(layers: int = 2) -> tuple[nn.Module, Callable[[], None]]:
    model = nn.Sequential(
        nn.Embedding(100, 24), *(nn.Sequential(nn.Linear(24, 24), nn.GELU()) for _ in range(layers)), nn.Linear(24, 100)
    )
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    ids = torch.randint(100, (7, 31))

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(model(ids).flatten(0, 1), ids.flatten()).backward()
        optimizer.step()

    return model, step


def test_the_peak_is_the_allocator_s_own():
    _, step = small_network()
    step()
    expected = allocator_peak(step)
    trace = MemoryTrace()
    with trace:
        step()
    existing = sum(a.nbytes for a in trace.report().at_peak if a.operation == "existing")
    # Storages from before (weights, state, ids) are not the step's own allocations.
    assert trace.report().peak_bytes - existing == pytest.approx(expected, rel=1e-3)


def test_views_share_a_storage_and_a_freed_storage_is_gone():
    trace = MemoryTrace()
    with trace:
        first = torch.zeros(1000, dtype=torch.float32)
        view = first.view(10, 100)[3:]
        assert trace.report().live_bytes == 4000
        del first
        assert trace.report().live_bytes == 4000
        del view
        second = torch.zeros(10, dtype=torch.int64)
    assert trace.report().live_bytes == 80
    assert trace.report().peak_bytes == 4000
    assert second.sum() == 0


def test_a_peak_before_the_mark_does_not_count():
    with MemoryTrace() as trace:
        torch.zeros(1000)
        kept = torch.zeros(10)
        mark = trace.mark
        other = torch.zeros(5)
    assert trace.report(since=mark).peak_bytes == 60
    assert trace.report().peak_bytes >= 4000
    assert len(kept) + len(other) == 15


def test_phases_and_labels_say_where_the_bytes_are():
    with MemoryTrace() as trace:
        weights = torch.ones(100)
        trace.label([weights], "weights")
        with trace.phase("forward"):
            hidden = weights * 2
        with trace.phase("backward"):
            gradient = hidden * 3
            trace.label([gradient], "gradients")
            del hidden
    report = trace.report()
    assert report.parts == {"weights": 400, "gradients": 400, "forward": 400}
    assert report.peak_phase == "backward"
    assert report.phase_peaks["forward"] == 800
    assert report.live_bytes == 800


def test_sizes_are_rounded_up_where_an_allocator_does_so():
    with MemoryTrace(granularity=512) as trace:
        kept = torch.zeros(129)
    assert trace.report().live_bytes == 1024
    assert len(kept) == 129
    with pytest.raises(InputError, match="at least 1"):
        MemoryTrace(granularity=0)


def test_fake_tensors_have_the_bytes_of_real_ones():
    def traced() -> int:
        torch.manual_seed(0)
        _, step = small_network()
        with MemoryTrace() as trace:
            step()
            mark = trace.mark
            step()
        return trace.report(since=mark).peak_bytes

    real = traced()
    with FakeTensorMode():
        assert traced() == real
