"""Loading speed, G tokens per CPU-second, beside what people use, in one run and interleaved: `python -m
benchmarks.loader`.

Everything a contender does to hand over (B, T) inputs and targets is timed, all its threads counted; ours also makes
loss mask, position ids, cu_seqlens and (where said) the certificate. The first row is the limit: copying as many
contiguous ids into the same two arrays. Tokens are random, document lengths lognormal (mean ~800), all in the page
cache."""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from batchwright.batches.geometry import BatchGeometry
from batchwright.batches.loader import BatchLoader
from batchwright.foundation.array_file import HEADER_BYTES, ArrayFile, ArrayFileWriter
from batchwright.foundation.compiled import hot_loop
from batchwright.sequences.index_build import build_index
from batchwright.sequences.packing import BestFit, Concatenate, Packing
from batchwright.sequences.plan import Plan

T = 2048
SHARDS = 2


@dataclass(frozen=True, kw_only=True)
class Shard:
    tokens: ArrayFile
    documents: ArrayFile
    mask: ArrayFile | None = None


@dataclass(frozen=True, kw_only=True)
class Store:
    """A store and its only split in one."""

    directory: Path
    shards: tuple[Shard, ...]
    document_count: int
    token_count: int
    fingerprint: str = "benchmark"
    eot_id: int = 0
    vocabulary_size: int = 50_257

    def split(self, name: str) -> "Store":
        return self


def write_store(directory: Path, tokens: int) -> Store:
    """`tokens` random ids in documents of lognormal length, in two shards."""
    rng = np.random.default_rng(0)
    directory.mkdir(parents=True, exist_ok=True)
    shards: list[Shard] = []
    for number in range(SHARDS):
        lengths = np.maximum(2, rng.lognormal(5.96, 1.2, tokens // SHARDS // 700)).astype("<i8")
        ends = 1 + np.cumsum(lengths)
        ends = ends[ends <= tokens // SHARDS]
        ids = rng.integers(1, 50_257, int(ends[-1]), dtype=np.uint16)
        ids[0] = ids[ends - 1] = 0
        paths = directory / f"{number:05}.tokens", directory / f"{number:05}.documents"
        with ArrayFileWriter(paths[0], "tokens", "<u2") as writer:
            writer.append(ids)
        with ArrayFileWriter(paths[1], "documents", "<i8") as writer:
            writer.append(ends)
        shards.append(Shard(tokens=ArrayFile.open(paths[0], "tokens"), documents=ArrayFile.open(paths[1], "documents")))
    return Store(
        directory=directory,
        shards=tuple(shards),
        document_count=sum(shard.documents.count for shard in shards),
        token_count=sum(shard.tokens.count - 1 for shard in shards),
    )


def with_masks(store: Store) -> Store:
    """The same store with a loss mask: of every 64 tokens the first 24, on average, are left out in one piece."""
    shards: list[Shard] = []
    for number, shard in enumerate(store.shards):
        path = store.directory / f"{number:05}.mask"
        left_out = np.random.default_rng(number).integers(0, 49, -(-shard.tokens.count // 64))
        flags = (np.arange(64)[None] >= left_out[:, None]).ravel()[: shard.tokens.count].astype(np.uint8)
        flags[0] = 0
        with ArrayFileWriter(path, "mask", "<u1") as writer:
            writer.append(flags)
        shards.append(replace(shard, mask=ArrayFile.open(path, "mask", "<u1")))
    return replace(store, shards=tuple(shards), fingerprint=f"{store.fingerprint}, masked")


@hot_loop
def _widen(source: NDArray[Any], inputs: NDArray[Any], targets: NDArray[Any]) -> None:
    for i in range(inputs.shape[0]):
        inputs[i] = source[i]
    for i in range(targets.shape[0]):
        targets[i] = source[i + 1]


def contiguous(store: Store, B: int, dtype: Any) -> Iterator[Any]:
    """The limit: one contiguous copy into inputs and one into targets."""
    tokens = store.shards[0].tokens.array
    inputs, targets, first = np.empty(B * T, dtype), np.empty(B * T, dtype), 0
    while True:
        first = (first + B * T) % (tokens.shape[0] - B * T - 1)
        _widen(tokens[first : first + B * T + 1], inputs, targets)
        yield inputs


def ours(store: Store, B: int, dtype: Any, packing: Packing, certify: bool, micro_batch_size: int) -> Iterator[Any]:
    """The loader, steps and acknowledgement included."""
    index = build_index(store, sequence_length=T, packing=packing)
    geometry = BatchGeometry(global_batch_size=B, micro_batch_size=micro_batch_size, sequence_length=T)
    loader = BatchLoader(Plan.of(index), geometry, ids_dtype=dtype, certify=certify, ring=2)
    for step in loader:
        for batch in step:
            assert batch.inputs.shape == (micro_batch_size, T)
        loader.acknowledge(step)
        yield step


def nanogpt(store: Store, B: int) -> Iterator[Any]:
    """nanoGPT's get_batch: random windows of a memory map opened anew for every batch, with replacement."""
    import torch

    path, count = store.shards[0].tokens.path, store.shards[0].tokens.count
    while True:
        data = np.memmap(path, np.uint16, "r", HEADER_BYTES, (count,))
        starts = torch.randint(len(data) - T, (B,)).tolist()
        x = torch.stack([torch.from_numpy(data[i : i + T].astype(np.int64)) for i in starts])
        y = torch.stack([torch.from_numpy(data[i + 1 : i + 1 + T].astype(np.int64)) for i in starts])
        yield x, y


def torch_loader(store: Store, B: int) -> Iterator[Any]:
    """torch's DataLoader over a memory map, shuffled, no workers (they cost more than they bring)."""
    import torch
    from torch.utils.data import DataLoader, Dataset

    data = store.shards[0].tokens.array

    class Chunks(Dataset[Any]):
        def __len__(self) -> int:
            return (len(data) - 1) // T

        def __getitem__(self, i: int) -> Any:
            chunk = torch.from_numpy(data[i * T : i * T + T + 1].astype(np.int64))
            return chunk[:-1], chunk[1:]

    while True:
        yield from DataLoader(Chunks(), batch_size=B, shuffle=True, drop_last=True)


def contenders(store: Store, masked: Store, B: int) -> dict[str, Callable[[], Iterator[Any]]]:
    """Name → its batches."""
    table: dict[str, Callable[[], Iterator[Any]]] = {
        "limit: contiguous → int64": lambda: contiguous(store, B, np.int64),
        "limit: contiguous → uint16": lambda: contiguous(store, B, np.uint16),
    }
    for name, packing in (("fixed chunks", Concatenate()), ("packed rows", BestFit())):
        for dtype in (np.int64, np.uint16):
            title = f"{name} → {np.dtype(dtype)}"
            table[title] = lambda p=packing, d=dtype: ours(store, B, d, p, False, B)
    for dtype in (np.int64, np.uint16):
        title = f"packed rows → {np.dtype(dtype)}, loss mask"
        table[title] = lambda d=dtype: ours(masked, B, d, BestFit(), False, B)
    table["packed rows → int64, certified"] = lambda: ours(store, B, np.int64, BestFit(), True, B)
    table["packed rows → int64, micro-batch 1"] = lambda: ours(store, B, np.int64, BestFit(), False, 1)
    table["nanoGPT get_batch (memmap)"] = lambda: nanogpt(store, B)
    table["torch DataLoader (memmap)"] = lambda: torch_loader(store, B)
    return table


def cpu_seconds(batches: Iterator[Any], count: int) -> float:
    """CPU-seconds, all threads, for so many batches."""
    before = time.process_time()
    for _ in range(count):
        next(batches)
    return time.process_time() - before


def measure(store: Store, masked: Store, B: int, rounds: int, seconds: float) -> dict[str, float]:
    """G tokens per CPU-second of every contender: the median over interleaved rounds."""
    running = {name: start() for name, start in contenders(store, masked, B).items()}
    counts: dict[str, int] = {}
    for name, batches in running.items():
        next(batches)  # compiles
        if name.startswith(("fixed", "packed")):  # one pass, so that every block is checked and in the page cache
            cpu_seconds(batches, store.token_count // (B * T))
        counts[name] = max(1, int(seconds / max(1e-6, cpu_seconds(batches, 3) / 3)))
    times: dict[str, list[float]] = {name: [] for name in running}
    for _ in range(rounds):
        for name, batches in running.items():
            times[name].append(cpu_seconds(batches, counts[name]) / counts[name])
    return {name: B * T / float(np.median(taken)) / 1e9 for name, taken in times.items()}


def main(arguments: Sequence[str] = ()) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=100_000_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.15, help="CPU-seconds per contender and round")
    options = parser.parse_args(arguments)
    try:
        import torch

        torch.set_num_threads(1)
    except ImportError as error:
        raise SystemExit("the rivals need torch: make setup") from error
    with tempfile.TemporaryDirectory() as directory:
        store = write_store(Path(directory), options.tokens)
        masked = with_masks(store)
        results = {B: measure(store, masked, B, options.rounds, options.seconds) for B in (32, 512)}
    print(f"G tokens per CPU-second, T = {T:,}, {store.token_count:,} tokens, {store.document_count:,} documents")
    print(f"{'':38}" + "".join(f"{f'B = {B}':>10}{'of limit':>10}" for B in results))
    for name in results[32]:
        line = f"{name:38}"
        for table in results.values():
            limit = table["limit: contiguous → " + ("uint16" if "uint16" in name else "int64")]
            line += f"{table[name]:10.3f}{table[name] / limit:10.0%}"
        print(line)


if __name__ == "__main__":
    main(sys.argv[1:])
