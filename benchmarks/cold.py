"""The first steps and a whole epoch from a cold page cache, beside reading the same files from end to end: `python -m
benchmarks.cold`.

Before every measurement the store's pages are dropped (`posix_fadvise(DONTNEED)` after a sync) and a fresh process maps
the files. "epoch" is every row of one epoch, in its order, checksums included: what a store that fits in memory costs
once. "checked" leaves the checksums out, as they are for whoever comes back to a store that does not fit: the price of
random reads alone. The sequential reading is timed beside each, by `read` of a MiB."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.corpora import CORPORA
from benchmarks.rivals.corpus import T, write_corpus
from benchmarks.rivals.ours import convert, load_machine_code, open_store

BLOCKS = (1, 64, 4096)
B = 32


def drop(directory: Path) -> None:
    """Leave nothing of these files in the page cache."""
    for path in directory.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def sequential(directory: Path) -> float:
    """Seconds to read all token files from end to end."""
    began = time.perf_counter()
    for path in sorted(directory.glob("*.tokens")):
        with path.open("rb", buffering=0) as file:
            while file.read(2**20):
                pass
    return time.perf_counter() - began


def _bytes_read() -> int:
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("read_bytes")).split()[1])


def epoch(directory: Path, block_documents: int, checked: bool, most_steps: int) -> dict[str, float]:
    """In a fresh process: seconds to the first batch, for ten steps, and for all (or so many)."""
    from batchwright.batches.geometry import BatchGeometry
    from batchwright.batches.loader import BatchLoader
    from batchwright.sequences.index_build import build_index
    from batchwright.sequences.packing import BestFit
    from batchwright.sequences.plan import Plan

    index = build_index(open_store(directory), sequence_length=T, packing=BestFit(block_documents=block_documents))
    if checked:
        for shard in index.stored.shards:
            shard.tokens.unchecked[:] = 0
    geometry = BatchGeometry(global_batch_size=B, micro_batch_size=B, sequence_length=T)
    loader = BatchLoader(Plan.of(index), geometry, certify=False)
    steps = min(most_steps, index.row_count // B)
    load_machine_code(directory)
    began, read, times = time.perf_counter(), _bytes_read(), list[float]()
    for number, step in enumerate(loader, 1):
        for _ in step:
            pass
        times.append(time.perf_counter() - began)
        if number == steps:
            break
    return {
        "first": times[0],
        "ten": times[min(9, steps - 1)],
        "all": times[-1],
        "steps": steps,
        "share": steps * B / index.row_count,
        "read": _bytes_read() - read,
    }


def fresh(directory: Path, block_documents: int, checked: bool, most_steps: int) -> dict[str, float]:
    """`epoch` in a process of its own, the pages dropped."""
    drop(directory)
    arguments = [str(directory), str(block_documents), str(int(checked)), str(most_steps)]
    command = [sys.executable, "-m", "benchmarks.cold", "--inside", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def _lines(directory: Path, rounds: int, most_steps: int) -> Iterator[str]:
    size = sum(path.stat().st_size for path in directory.glob("*.tokens"))
    for block in BLOCKS:
        for checked in (False, True):
            whole: list[dict[str, float]] = []
            reading: list[float] = []
            for _ in range(rounds):
                drop(directory)
                reading.append(sequential(directory))
                whole.append(fresh(directory, block, checked, most_steps))
            middle = {name: statistics.median(one[name] for one in whole) for name in whole[0]}
            end_to_end = statistics.median(reading) * middle["share"]
            ratio = statistics.median(
                one["all"] / one["share"] / read for one, read in zip(whole, reading, strict=True)
            )
            yield (
                f"| {block} | {'checked before' if checked else 'first touch'} | {middle['first']:.3f} | "
                f"{middle['ten']:.3f} | {middle['all']:.3f} ({middle['share']:.0%} of the epoch) | "
                f"{middle['read'] / 1e6:,.0f} | {end_to_end:.3f} | {ratio:.2f}× | "
                f"{size / 1e6 / statistics.median(reading):,.0f} |"
            )


def main(arguments: Sequence[str] = ()) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=200_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--most-steps", type=int, default=10**9, help="an epoch's first steps only")
    parser.add_argument("--inside", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args(list(arguments))
    if options.inside:
        directory, block, checked, steps = options.inside
        print(json.dumps(epoch(Path(directory), int(block), checked == "1", int(steps))))
        return
    corpus = write_corpus(CORPORA / f"rivals-{options.tokens}", options.tokens)
    convert(corpus)
    directory = corpus.converted("batchwright")
    for block in BLOCKS:  # the indexes, before anything is timed
        epoch(directory, block, True, 1)
    print(
        f"B = {B}, T = {T:,}, {options.tokens:,} tokens, medians of {options.rounds}, load {os.getloadavg()[0]:.1f}\n"
    )
    print(
        "| block, documents | checksums | first step s | ten steps s | all s | read MB | end to end s | ratio | MB/s |"
    )
    print("|--:|---|" + "--:|" * 7)
    for line in _lines(directory, options.rounds, options.most_steps):
        print(line, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
