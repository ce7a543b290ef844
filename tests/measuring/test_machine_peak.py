"""The machine's peak is a rate that was reached, with the threads asked for, and measured once."""

import torch

from batchwright.measuring.machine_peak import measure_machine_peak


def test_the_rate_is_reached_and_kept() -> None:
    before = torch.get_num_threads()
    peak = measure_machine_peak(threads=1, size=128)
    assert (peak.threads, peak.dtype, peak.device, peak.size) == (1, "float32", "cpu", 128)
    assert peak.products >= 3
    assert 1e8 < peak.flops_per_second < 1e13
    assert measure_machine_peak(threads=1, size=128) is peak
    assert torch.get_num_threads() == before
