"""Near-duplicates: what do signatures cost, how surely are copies found, how much memory does a large corpus take?

    python -m benchmarks.near_duplicates speed DIRECTORY [--rounds 7]       DIRECTORY holds NAME.jsonl with "text"
    python -m benchmarks.near_duplicates recall DIRECTORY [--copies 20000]
    python -m benchmarks.near_duplicates memory [--documents 10000000]

Speed: bytes → signatures of 112 orders over 5-word shingles, ours and stage 1 of datatrove 0.10.1, rounds in turn, each
on text that neither has seen. Recall: real documents and copies with words replaced at several rates, their similarity
known exactly from the sets of shingles; how often they are compared and found, and what the formulas say. Memory:
synthetic signatures, one in ten a near copy of an earlier one, in parts of 100,000; from band rows to roots.
"""

import argparse
import os
import re
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np

from benchmarks.filters import DATATROVE, ROUND_BYTES
from benchmarks.rivals import datatrove_signatures
from benchmarks.unseen_rounds import Rival, blocks, compare, texts_of

PART_DOCUMENTS = 100_000
RATES = (0.01, 0.02, 0.03, 0.04, 0.05, 0.07, 0.1)
SEEDS = 8
BINS = (0.45, 0.55, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 1.0)


def speed(directory: Path, rounds: int) -> None:
    """MB per CPU-second, round by round."""
    from batchwright.documents.near_duplicates import NearDuplicates
    from batchwright.documents.signatures import signatures_of

    near = NearDuplicates()
    DATATROVE.make()
    unseen = blocks(sorted(directory.glob("*.jsonl")), ROUND_BYTES)
    signatures_of(next(unseen)[:50], near)  # compiled

    def ours(texts: list[bytes]) -> float:
        began = time.process_time()
        signatures_of(texts, near)
        return time.process_time() - began

    with Rival(DATATROVE.python, datatrove_signatures.__file__) as rival:
        compare(
            "bytes to signatures",
            unseen,
            rounds,
            ours,
            lambda texts: rival.ask({"time": [text.decode() for text in texts]})["cpu"],
        )


def shingles(text: str) -> set[tuple[str, ...]]:
    """The runs of five words, by the definition."""
    words = re.findall(r"[^\W_]+", text.lower())
    return {tuple(words[n : n + 5]) for n in range(max(1, len(words) - 4))}


def similarity(one: str, other: str) -> float:
    a, b = shingles(one), shingles(other)
    return len(a & b) / len(a | b)


def injected(directory: Path, copies: int) -> Iterator[tuple[str, str]]:
    """Real documents of 100 to 2,000 words, no two with the same beginning, each with a copy, words of it replaced."""
    random = np.random.default_rng(11)
    begun: set[str] = set()
    for path in sorted(directory.glob("*.jsonl")):
        for utf8 in texts_of(path):
            words = utf8.decode().split()
            if not 100 <= len(words) <= 2000 or " ".join(words[:8]) in begun or not utf8.isascii():
                continue
            begun.add(" ".join(words[:8]))
            replaced = random.random(len(words)) < RATES[len(begun) % len(RATES)] * random.uniform(0.6, 1.4)
            copy = [f"new{random.integers(2**40):x}" if new else w for w, new in zip(words, replaced, strict=True)]
            yield " ".join(words), " ".join(copy)
            if len(begun) == copies:
                return


def recall(directory: Path, copies: int) -> None:
    """The table of recall by similarity, and the precision."""
    from batchwright.documents.clusters import band_rows, edges_of
    from batchwright.documents.near_duplicates import NearDuplicates
    from batchwright.documents.signatures import signatures_of

    pairs = list(injected(directory, copies))
    exact = np.array([similarity(*pair) for pair in pairs])
    texts = [text for pair in pairs for text in pair]
    # Real texts share phrases, so what a few orders do with those moves thousands of pairs together: several seeds.
    shares = np.zeros((2, len(pairs)))
    for seed in range(SEEDS):
        near = NearDuplicates(seed=seed)
        signatures = signatures_of([text.encode() for text in texts], near)
        rows = band_rows(signatures, 0, near)
        keys = rows["key"].reshape(-1, near.bands)
        compared = (keys[0::2] == keys[1::2]).any(axis=1)
        agreeing = (signatures[0::2] == signatures[1::2]).sum(axis=1)
        shares += [compared / SEEDS, (compared & (agreeing >= near.agreeing_places)) / SEEDS]
    compared, found = shares
    chances = np.array([near.found(round(s, 3)) for s in exact])
    print(f"{len(pairs):,} pairs, {SEEDS} seeds; share of them, measured and by formula\n")
    print(f"{'similarity':<12}{'pairs':>8}{'compared':>10}{'formula':>9}{'found':>8}{'formula':>9}{'worst':>8}")
    for low, high in pairwise(BINS):
        inside = (exact >= low) & (exact < high)
        if not inside.any():
            continue
        formulas = [float(np.mean([near.compared(s) for s in exact[inside]])), float(chances[inside].mean())]
        measured = [float(compared[inside].mean()), float(found[inside].mean())]
        worst = max(abs(a - b) for a, b in zip(measured, formulas, strict=True))
        print(
            f"{low:.2f}–{high:.2f}   {inside.sum():>8,}{measured[0]:>10.3f}{formulas[0]:>9.3f}"
            f"{measured[1]:>8.3f}{formulas[1]:>9.3f}{100 * worst:>6.1f} p"
        )
    edges = edges_of(rows["key"].copy(), rows["document"].astype(np.int64), lambda which: signatures[which], near)
    drawn = np.random.default_rng(3).permutation(len(edges))[:3000]
    all_found = np.array([similarity(texts[a], texts[b]) for a, b in edges[drawn].tolist()])
    for least in (0.7, 0.65, 0.6):
        of_pairs, expected = found[exact >= least].sum() / found.sum(), chances[exact >= least].sum() / chances.sum()
        print(
            f"precision, similarity ≥ {least}: {of_pairs:.3f} of the pairs found, formula {expected:.3f}; "
            f"{np.mean(all_found >= least):.3f} of {len(drawn):,} of all {len(edges):,} edges"
        )


def memory(documents: int) -> None:
    """Seconds, and the most memory that the process had, from band rows to roots."""
    from batchwright.documents.near_duplicates import NearDuplicates
    from batchwright.engines.serial import SerialExecutor
    from batchwright.foundation.array_file import ArrayFileWriter
    from batchwright.tokens.near import BandWriter, Part, find_roots

    near = NearDuplicates()
    with tempfile.TemporaryDirectory(dir=os.environ.get("BATCHWRIGHT_SCRATCH")) as directory:
        work = Path(directory)
        parts: list[Part] = []
        began, earlier = time.process_time(), None
        for first in range(0, documents, PART_DOCUMENTS):
            count = min(PART_DOCUMENTS, documents - first)
            random = np.random.default_rng([5, first])
            made = random.integers(0, 2**32 - 1, (count, near.permutations), np.uint32)
            if earlier is not None:
                copied = np.flatnonzero(random.random(count) < 0.1)
                changed = random.random((len(copied), near.permutations)) < 0.1
                originals = earlier[random.integers(0, len(earlier), len(copied))]
                made[copied] = np.where(changed, made[copied], originals)
            earlier = made[:: max(1, count // 1000)].copy() if earlier is None else earlier
            name = f"part-{first}"
            with ArrayFileWriter(work / f"{name}.signatures", "signatures", "<u4") as signatures:
                signatures.append(made.reshape(-1))
            with BandWriter(work / name, near) as bands:
                bands.append(made)
            at = work / f"{name}.signatures", work / f"{name}.bands"
            parts.append(Part(name=name, documents=count, signatures=at[0], bands=at[1]))
        written, size = time.process_time(), sum(path.stat().st_size for path in work.iterdir())
        print(f"written: {documents:,} documents, {size / 1e9:.2f} GB, {written - began:.1f} CPU-s", flush=True)
        roots = find_roots(SerialExecutor(), work, parts, near)
        alone = int(np.count_nonzero(roots.array == np.arange(documents)))
        print(f"roots:   {alone:,} clusters, {time.process_time() - written:.1f} CPU-s")
    print(f"memory:  {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10:,.0f} MiB at most")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.near_duplicates", description=__doc__)
    parser.add_argument("what", choices=("speed", "recall", "memory"), nargs="?", default="speed")
    parser.add_argument("directory", type=Path, nargs="?")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--copies", type=int, default=20_000)
    parser.add_argument("--documents", type=int, default=10_000_000)
    given = parser.parse_args(arguments or [])
    if given.what == "memory":
        memory(given.documents)
        return
    named = os.environ.get("BATCHWRIGHT_BENCHMARK_CORPORA")
    directory = given.directory or (Path(named) if named else None)
    if directory is None:
        print("no corpora: name a directory of NAME.jsonl, or set BATCHWRIGHT_BENCHMARK_CORPORA")
    elif given.what == "speed":
        speed(directory, given.rounds)
    else:
        recall(directory, given.copies)


if __name__ == "__main__":
    main(sys.argv[1:])
