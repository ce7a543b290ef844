"""Building a sequence index: CPU-seconds, anonymous memory, size, for 100 million documents and for T from 128 to
131,072: `python -m benchmarks.index`.

The store is sparse: the ends of the documents are written (8 bytes each; lognormal lengths, mean ~800), the tokens,
which packing never reads, are a count. Every build runs in a process of its own: its CPU-seconds are its own and its
workers', its memory the most that is resident and anonymous beyond what it held after importing and compiling (with
workers: their interpreters too, ~85 MB each)."""

import argparse
import multiprocessing
import os
import resource
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from batchwright.engines.local import LocalExecutor
from batchwright.foundation.array_file import ArrayFile, ArrayFileWriter
from batchwright.sequences.index_build import build_index
from batchwright.sequences.packing import packing_from_dict

TOKEN_BYTES = 2
SHARDS = 4
_AT_ONCE = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Count:
    """Stands for a payload that packing asks for nothing but its size."""

    count: int


@dataclass(frozen=True, kw_only=True)
class Shard:
    tokens: Any
    documents: ArrayFile


@dataclass(frozen=True, kw_only=True)
class EndsStore:
    """A store and its only split in one: ends without tokens."""

    directory: Path
    shards: tuple[Shard, ...]
    fingerprint: str
    eot_id: int = 0
    vocabulary_size: int = 50_257

    @classmethod
    def open(cls, directory: Path) -> "EndsStore":
        files = [ArrayFile.open(path, "documents", "<i8") for path in sorted(directory.glob("*.documents"))]
        shards = tuple(Shard(tokens=Count(count=int(file.array[-1])), documents=file) for file in files)
        return cls(directory=directory, shards=shards, fingerprint=f"ends-{sum(f.count for f in files)}")

    @property
    def document_count(self) -> int:
        return sum(shard.documents.count for shard in self.shards)

    @property
    def token_count(self) -> int:
        return sum(shard.tokens.count - 1 for shard in self.shards)

    def split(self, name: str) -> "EndsStore":
        return self


def write_ends(directory: Path, documents: int) -> None:
    """Ends of documents of lognormal length (mean ~800, median ~389), in shards."""
    rng = np.random.default_rng(0)
    directory.mkdir(parents=True, exist_ok=True)
    for number in range(SHARDS):
        count, end = documents // SHARDS, 1
        with ArrayFileWriter(directory / f"{number:05}.documents", "documents", "<i8") as writer:
            for first in range(0, count, _AT_ONCE):
                lengths = np.maximum(2, rng.lognormal(5.96, 1.2, min(_AT_ONCE, count - first))).astype("<i8")
                ends = end + np.cumsum(lengths)
                writer.append(ends)
                end = int(ends[-1])


def anonymous_bytes() -> int:
    """Resident memory, of this process and its workers, that no file stands behind."""
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    total = 0
    for process in processes:
        try:
            status = Path(f"/proc/{process.pid}/status").read_text()
        except OSError:
            continue
        total += next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("RssAnon")), 0)
    return total


def build(directory: str, packing: dict[str, Any], sequence_length: int, workers: int, warm: str, answer: Any) -> None:
    """One build in a process of its own; puts its figures into `answer`."""
    policy = packing_from_dict(packing)
    build_index(EndsStore.open(Path(warm)), sequence_length=sequence_length, packing=policy)  # compiled, loaded
    store, home = EndsStore.open(Path(directory)), Path(directory) / "sequences"
    before, peak, over = anonymous_bytes(), [0], threading.Event()

    def watch() -> None:
        while not over.wait(0.02):
            peak[0] = max(peak[0], anonymous_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    began, cpu = time.perf_counter(), _cpu_seconds()
    index = build_index(
        store,
        sequence_length=sequence_length,
        packing=policy,
        directory=home,
        executor=LocalExecutor(workers) if workers else None,
    )
    seconds, cpu = time.perf_counter() - began, _cpu_seconds() - cpu
    over.set()
    watcher.join()
    answer.put(
        {
            "cpu_seconds": cpu,
            "seconds": seconds,
            "anonymous_bytes": peak[0] - before,
            "payload_bytes": index.payload_bytes,
            "bytes_per_segment": index.bytes_per_segment,
            "bytes_per_row": index.bytes_per_row,
            "of_tokens": index.payload_bytes / (store.token_count * TOKEN_BYTES),
            **{name: index.counts[name] for name in ("documents", "segments", "rows", "padding", "slots", "stored")},
        }
    )


def _cpu_seconds() -> float:
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in usage)


def measure(directory: Path, packing: dict[str, Any], sequence_length: int, workers: int, warm: Path) -> dict[str, Any]:
    """Figures of one build; what it wrote is deleted again."""
    context = multiprocessing.get_context("spawn")
    answer = context.Queue()
    process = context.Process(target=build, args=(str(directory), packing, sequence_length, workers, str(warm), answer))
    process.start()
    figures = answer.get()
    process.join()
    shutil.rmtree(directory / "sequences")
    return figures


def main(arguments: Sequence[str] = ()) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=100_000_000)
    parser.add_argument("--fewer", type=int, default=10_000_000, help="documents for the table over T and policies")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--directory", type=Path, help="where the ends are written (9 bytes a document, 30 with index)")
    options = parser.parse_args(arguments)
    best = {"policy": "best-fit", "window_documents": 65_536, "block_documents": 64}
    others = (
        {"policy": "concatenate"},
        {"policy": "best-fit-truncated", "window_documents": 65_536, "block_documents": 64},
        {"policy": "start-aligned", "buffer_documents": 1_000, "block_documents": 64},
    )
    with tempfile.TemporaryDirectory(dir=options.directory) as place:
        warm, many, fewer = (Path(place) / name for name in ("warm", "many", "fewer"))
        for directory, documents in ((warm, 40_000), (many, options.documents), (fewer, options.fewer)):
            write_ends(directory, documents)
        rows = [(many, best, 2048, 0), (many, best, 2048, options.workers)]
        rows += [(fewer, best, length, 0) for length in (128, 512, 2048, 8192, 32_768, 131_072)]
        rows += [(fewer, packing, 2048, 0) for packing in others]
        print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
        print(
            f"{'packing':20}{'T':>8}{'documents':>13}{'workers':>8}{'CPU-s':>8}{'s':>8}{'M doc/CPU-s':>12}"
            f"{'memory MB':>10}{'index MB':>10}{'of tokens':>10}{'padding':>10}"
        )
        for directory, packing, length, workers in rows:
            figures = measure(directory, packing, length, workers, warm)
            print(
                f"{packing['policy']:20}{length:8,}{figures['documents']:13,}{workers or 'none':>8}"
                f"{figures['cpu_seconds']:8.1f}{figures['seconds']:8.1f}"
                f"{figures['documents'] / figures['cpu_seconds'] / 1e6:12.1f}"
                f"{figures['anonymous_bytes'] / 1e6:10.1f}{figures['payload_bytes'] / 1e6:10.1f}"
                f"{figures['of_tokens']:10.2%}{figures['padding'] / figures['slots']:10.4%}",
                flush=True,
            )
        print(f"{figures['bytes_per_segment']} bytes per segment, {figures['bytes_per_row']} per row")


if __name__ == "__main__":
    main(sys.argv[1:])
