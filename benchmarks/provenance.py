"""What it costs to ask where a document is: `python -m benchmarks.provenance`.

Both readings are made on arrays in memory of the size that a real store would have: the first targets of `--segments`
segments (8 bytes each), and the provenance of a tenth as many documents (40 bytes each). CPU-seconds, medians."""

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from statistics import median

import numpy as np
import xxhash

from batchwright.foundation.array_file import BLOCK_BYTES
from batchwright.sequences.placement import scan_starts
from batchwright.tokens.finding import scan_ids

TOKENS_PER_SEGMENT = 800


def cpu_seconds(work: Callable[[], object], rounds: int) -> float:
    taken: list[float] = []
    for _ in range(rounds):
        begin = time.process_time()
        work()
        taken.append(time.process_time() - begin)
    return median(taken)


def checksums(array: np.ndarray) -> None:
    payload = array.view(np.uint8).ravel()
    for begin in range(0, payload.shape[0], BLOCK_BYTES):
        xxhash.xxh3_64_intdigest(payload[begin : begin + BLOCK_BYTES].data)


def main(arguments: Sequence[str] = ()) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--segments", type=int, default=100_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    rng, out = np.random.default_rng(0), np.empty(1024, np.int64)
    starts = rng.permutation(options.segments)
    starts *= TOKENS_PER_SEGMENT
    wanted = int(starts[options.segments // 2])
    scan_starts(starts[:10], 0, 1, out)  # compiled
    print(f"load {os.getloadavg()[0]:.1f}; CPU-seconds, medians of {options.rounds}")
    scan = cpu_seconds(lambda: scan_starts(starts, wanted, wanted + 4_000, out), options.rounds)
    check = cpu_seconds(lambda: checksums(starts), options.rounds)
    print(f"rows of a document, {options.segments:,} segments: {scan:.3f}, their checksums once {check:.3f}")
    documents = options.segments // 10
    words = rng.integers(0, 2**63, (documents, 5), dtype=np.uint64)
    first, second = words[documents // 2, :2]
    scan_ids(words[:10], first, second, out)
    scan = cpu_seconds(lambda: scan_ids(words, first, second, out), options.rounds)
    check = cpu_seconds(lambda: checksums(words), options.rounds)
    print(f"a document by its id, {documents:,} documents: {scan:.3f}, their checksums once {check:.3f}")


if __name__ == "__main__":
    main(sys.argv[1:])
