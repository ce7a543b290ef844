"""From a state at 90 % of an epoch to the first batch, for a real store of 10⁹ tokens: `python -m benchmarks.resume`.

The store (2 GB, one block of synthetic ids again and again, documents as in `rivals`) is made for this and deleted
afterwards. The clock runs over everything but the start of the process, its imports and machine code (loaded from
numba's cache, stated apart): opening the store's files and the index, the plan, the loader, restoring, and the first
batch (B = 32, T = 2,048), the checksums of what it touches and its certificate included. Every figure is the median of
fresh processes, once with the files' pages in memory and once dropped."""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.cold import drop
from benchmarks.corpora import CORPORA
from benchmarks.rivals.corpus import EOT, VOCABULARY, T
from benchmarks.rivals.ours import load_machine_code, open_store

B = 32
SHARD_TOKENS = 2**27
BLOCK_TOKENS = 2**24


def write_store(directory: Path, tokens: int) -> None:
    """Shards of 2²⁷ tokens, as `prepare` cuts them."""
    from batchwright.foundation.array_file import ArrayFileWriter

    rng = np.random.default_rng(0)
    ends = np.cumsum(np.maximum(2, rng.lognormal(5.96, 1.2, BLOCK_TOKENS // 400)).astype("<i8"))
    ends = ends[ends <= BLOCK_TOKENS]
    ids = rng.integers(1, VOCABULARY, int(ends[-1]), dtype=np.uint16)
    ids[ends - 1] = EOT
    directory.mkdir(parents=True)
    blocks, per_shard = -(-tokens // ids.shape[0]), SHARD_TOKENS // ids.shape[0]
    for number, first in enumerate(range(0, blocks, per_shard)):
        some = min(per_shard, blocks - first)
        with ArrayFileWriter(directory / f"{number:05}.tokens", "tokens", "<u2") as writer:
            writer.append(np.array([EOT], "<u2"))
            for _ in range(some):
                writer.append(ids)
        with ArrayFileWriter(directory / f"{number:05}.documents", "documents", "<i8") as writer:
            for block in range(some):
                writer.append(1 + block * ids.shape[0] + ends)


def state_at(directory: Path, part: float) -> str:
    """A checkpoint's state after this part of an epoch, as JSON."""
    from batchwright.batches.geometry import BatchGeometry
    from batchwright.batches.loader import BatchLoader
    from batchwright.sequences.index_build import build_index
    from batchwright.sequences.plan import Plan

    index = build_index(open_store(directory), sequence_length=T)
    geometry = BatchGeometry(global_batch_size=B, micro_batch_size=B, sequence_length=T)
    loader = BatchLoader(Plan.of(index), geometry)
    return json.dumps({**loader.state(), "position": int(part * index.row_count) // B * B})


def resume(directory: Path, state: str) -> dict[str, float]:
    """In a fresh process: seconds from nothing to the first batch, and of it what the batch took."""
    from batchwright.batches.geometry import BatchGeometry
    from batchwright.batches.loader import BatchLoader
    from batchwright.sequences.index_build import build_index
    from batchwright.sequences.plan import Plan

    loading = time.perf_counter()
    load_machine_code(directory)
    began = time.perf_counter()
    index = build_index(open_store(directory), sequence_length=T)
    geometry = BatchGeometry(global_batch_size=B, micro_batch_size=B, sequence_length=T)
    loader = BatchLoader(Plan.of(index), geometry)
    loader.restore(json.loads(state))
    opened = time.perf_counter()
    step = next(iter(loader))
    batch = next(step)
    done = time.perf_counter()
    assert batch.positions[0] == json.loads(state)["position"]
    return {"open": opened - began, "batch": done - opened, "all": done - began, "code": began - loading}


def main(arguments: Sequence[str] = ()) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=10**9)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--inside", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args(list(arguments))
    if options.inside:
        print(json.dumps(resume(Path(options.inside[0]), options.inside[1])))
        return
    directory = CORPORA / "resume"
    shutil.rmtree(directory, ignore_errors=True)
    try:
        write_store(directory, options.tokens)
        state = state_at(directory, 0.9)
        store = open_store(directory)
        print(f"{store.token_count:,} tokens, {store.document_count:,} documents, {len(store.shards)} shards")
        del store
        print(f"state: {len(state)} bytes; medians of {options.rounds}; load {os.getloadavg()[0]:.1f}")
        for cold in (False, True):
            figures: list[dict[str, float]] = []
            for _ in range(options.rounds + 1):
                if cold:
                    drop(directory)
                command = [sys.executable, "-m", "benchmarks.resume", "--inside", str(directory), state]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                figures.append(json.loads(done.stdout.splitlines()[-1]))
            middle = {name: 1e3 * statistics.median(one[name] for one in figures[1:]) for name in figures[0]}
            print(
                f"{'cold' if cold else 'warm'}: {middle['all']:.1f} ms to the first batch "
                f"({middle['open']:.1f} ms opening, {middle['batch']:.1f} ms the batch), "
                f"machine code before: {middle['code']:.0f} ms"
            )
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1:])
