"""What keeping documents apart costs, by form and T: `python -m benchmarks.attention`.

One attention layer (4 heads of 32), forward and backward, fp32, one thread, 16,384 slots in B = 16,384 / T rows of
documents with lognormal lengths (mean ~800 as on the web, or ~100 as in chats). CPU milliseconds, medians of rounds in
which the forms take turns. "made" is what is made once per micro-batch, whatever the number of layers."""

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import torch
from torch import Tensor

from batchwright.model.isolation import Isolation, WholeRow, isolation_of

SLOTS, HEADS, HEAD_SIZE = 16_384, 4, 32
LENGTHS = (128, 256, 512, 1024, 4096, 16_384)


def positions(length: int, mean: int) -> Tensor:
    """(B, T) position ids of documents of about `mean` tokens; the last of a row is cut at its end."""
    draw = torch.Generator().manual_seed(length)
    out = torch.empty(SLOTS // length, length, dtype=torch.int32)
    for row in out:
        begin = 0
        while begin < length:
            tokens = max(2, int(mean * 0.487 * torch.empty(1).log_normal_(0, 1.2, generator=draw)))
            stop = min(begin + tokens, length)
            row[begin:stop] = torch.arange(stop - begin)
            begin = stop
    return out


def cpu_ms(work: Callable[[], Any]) -> tuple[float, Any]:
    begin = time.process_time()
    result = work()
    return 1e3 * (time.process_time() - begin), result


def measure(length: int, mean: int, rounds: int) -> dict[str, tuple[float, float, int]]:
    """(made, forward and backward, segments) of every form."""
    position_ids = positions(length, mean)
    shape = (*position_ids.shape, HEADS, HEAD_SIZE)
    parts = [torch.randn(shape, requires_grad=True) for _ in range(3)]
    makers: dict[str, Callable[[], Isolation]] = {
        "not isolated": WholeRow,
        "mask": lambda: isolation_of(position_ids, torch.float32, form="mask"),
        "segments": lambda: isolation_of(position_ids, torch.float32, form="segments"),
    }
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in makers}
    for _ in range(rounds + 1):
        for name, make in makers.items():
            made, isolation = cpu_ms(make)
            run, _ = cpu_ms(lambda isolation=isolation: isolation.attend(*parts).sum().backward())
            times[name].append((made, run))
    segments = int((position_ids == 0).sum())
    return {
        name: (median(m for m, _ in taken[1:]), median(r for _, r in taken[1:]), segments)
        for name, taken in times.items()
    }


def main(arguments: Sequence[str] = ()) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    print(f"CPU ms for {SLOTS:,} slots, load {os.getloadavg()[0]:.1f}")
    print("documents     T   B  segments  not isolated   mask made   mask   segments  mask ÷ segments")
    for mean in (800, 100):
        for length in LENGTHS:
            result = measure(length, mean, options.rounds)
            made, mask, count = result["mask"]
            free, segments = result["not isolated"][1], result["segments"][1]
            print(
                f"~{mean:<6} {length:>7,} {SLOTS // length:>3} {count:>9,} {free:>13.0f} {made:>11.0f} {mask:>6.0f} "
                f"{segments:>10.0f} {mask / segments:>16.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main(sys.argv[1:])
