"""The most floating-point work this machine does in a second, as far as a large matrix product can tell.

    peak = 2·N³ ÷ (seconds of the fastest of several N × N products)

Guarantee: a rate that was reached here, with these threads and this precision: a lower bound of what the hardware can
do, and the right yardstick for a model that is made of such products. On a machine that others use it comes out low,
and an MFU above 1 says so. Price: 0.2–0.3 seconds, once per process and setting.
"""

import time
from dataclasses import dataclass
from functools import cache

import torch

SIZE = 1024
FEWEST_PRODUCTS = 3
SECONDS = 0.2


@dataclass(frozen=True, kw_only=True)
class MachinePeak:
    """What was reached, and how."""

    flops_per_second: float
    size: int
    products: int
    threads: int
    dtype: str
    device: str


@cache
def measure_machine_peak(
    *, threads: int | None = None, dtype: torch.dtype = torch.float32, device: str = "cpu", size: int = SIZE
) -> MachinePeak:
    """The fastest product of two (N, N) matrices, on `threads` threads (None: torch's own choice)."""
    before = torch.get_num_threads()
    try:
        if threads is not None:
            torch.set_num_threads(threads)
        best, products = _fastest(size, dtype, device)
        return MachinePeak(
            flops_per_second=2 * size**3 / best,
            size=size,
            products=products,
            threads=torch.get_num_threads(),
            dtype=str(dtype).removeprefix("torch."),
            device=device,
        )
    finally:
        torch.set_num_threads(before)


def _fastest(size: int, dtype: torch.dtype, device: str) -> tuple[float, int]:
    a, b = (torch.ones((size, size), dtype=dtype, device=device) for _ in range(2))
    out = torch.empty_like(a)
    times: list[float] = []
    begun = time.perf_counter()
    while len(times) < FEWEST_PRODUCTS or time.perf_counter() - begun < SECONDS:
        started = time.perf_counter()
        torch.mm(a, b, out=out)
        if device != "cpu":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return min(times), len(times)
