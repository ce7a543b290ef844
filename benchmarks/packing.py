"""What each packing wastes, and how fast it packs: `python -m benchmarks.packing [--store STORE] [--documents N]`.

Two sources: lengths drawn lognormal (mean ~800, median ~389, as web text has them), and a store of real text (without
--store: the sources of this Python and its packages, in the vocabulary trained on them). The figures are those of the
waste ledger at the packings' own windows; speed is M documents per CPU-second of packing alone, the median over
interleaved rounds. Targets of the default, best-fit: padding ≤ 0.06 % at T = 2,048, ≤ 0.15 % at T = 8,192; nothing
dropped; no needless cut."""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from batchwright.documents.inputs import TextSource
from batchwright.engines.serial import SerialExecutor
from batchwright.measuring.coverage import Coverage, CoverageSource, measure_coverage
from batchwright.sequences.document_table import DocumentTable
from batchwright.sequences.packing import BestFit, BestFitTruncated, Concatenate, Packing, StartAligned
from batchwright.sequences.stored_tokens import Store, StoredTokens
from batchwright.sequences.windows import windows
from batchwright.tokens.build import prepare_store
from batchwright.tokens.store import TokenStore
from batchwright.tokens.tokenizer import open_tokenizer
from benchmarks.corpora import CORPORA
from benchmarks.index import EndsStore, write_ends
from benchmarks.prepare import corpus, trained

PACKINGS: dict[str, Packing] = {
    "best-fit": BestFit(),
    "best-fit, window 4,096": BestFit(window_documents=4_096),
    "concatenate": Concatenate(),
    "best-fit-truncated": BestFitTruncated(),
    "start-aligned": StartAligned(),
    "start-aligned, buffer 10,000": StartAligned(buffer_documents=10_000),
}
SPEED_DOCUMENTS = 1_000_000


def text_store() -> Path:
    """A store of real text, prepared once."""
    out = CORPORA / "store-of-text"
    if not (out / "manifest.json").exists():
        text = corpus()
        source = TextSource(name="python", paths=tuple(str(path) for path in text))
        prepare_store([source], out, tokenizer=open_tokenizer(trained(text)), executor=SerialExecutor())
    return out


def speeds(windows_of: dict[str, list[NDArray[np.int64]]], sequence_length: int, rounds: int) -> dict[str, float]:
    """M documents per CPU-second of every packing."""
    taken: dict[str, list[float]] = {name: [] for name in PACKINGS}
    for number in range(rounds + 1):
        for name, packing in PACKINGS.items():
            before = time.process_time()
            for lengths in windows_of[name]:
                packing.pack(lengths, sequence_length)
            if number:  # the first one compiles
                taken[name].append(time.process_time() - before)
    documents = sum(lengths.shape[0] for lengths in windows_of["best-fit"])
    return {name: documents / median(seconds) / 1e6 for name, seconds in taken.items()}


def lengths_in_windows(store: Store) -> dict[str, list[NDArray[np.int64]]]:
    """The lengths of at most `SPEED_DOCUMENTS` documents as each packing draws them."""
    table = DocumentTable.of(StoredTokens.of(store))
    found: dict[str, list[NDArray[np.int64]]] = {}
    for name, packing in PACKINGS.items():
        found[name], left = [], min(SPEED_DOCUMENTS, table.document_count)
        for blocks in windows(packing, table.document_count, 0):
            found[name].append(table.read_blocks(blocks, packing.block_documents)[1][:left])
            left -= found[name][-1].shape[0]
            if not left:
                break
    return found


def line(name: str, coverage: Coverage, speed: float) -> str:
    total = coverage.total
    return (
        f"{name:30}{total.padding / total.slots:10.4%}{total.dropped_count / total.stored:10.2%}"
        f"{coverage.marginal_drop:10.2%}{total.documents_cut / total.documents:10.2%}"
        f"{total.documents_cut_needlessly / total.documents:10.2%}"
        f"{total.targets_without_start / total.targets:12.2%}{speed:14.1f}"
    )


def show(title: str, store: Store, lengths: Sequence[int], rounds: int) -> None:
    """The table of one store."""
    stored, drawn = StoredTokens.of(store), lengths_in_windows(store)
    for sequence_length in lengths:
        found = measure_coverage(
            [CoverageSource(name=title, stored=stored)], list(PACKINGS.values()), sequence_length=sequence_length
        )
        speed = speeds(drawn, sequence_length, rounds)
        mean = stored.token_count / stored.document_count
        print(f"\n{title}: {stored.document_count:,} documents of {mean:,.0f} tokens, T = {sequence_length:,}")
        print(
            f"{'':30}{'padding':>10}{'dropped':>10}{'2nd half':>10}{'cut':>10}{'needless':>10}"
            f"{'no start':>12}{'M doc/CPU-s':>14}"
        )
        for (name, coverage), rate in zip(zip(PACKINGS, found, strict=True), speed.values(), strict=True):
            print(line(name, coverage, rate), flush=True)


def main(arguments: Sequence[str] = ()) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", type=Path)
    parser.add_argument("--documents", type=int, default=4_000_000, help="of the lognormal lengths")
    parser.add_argument("--lengths", type=int, nargs="+", default=[2048, 8192])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as place:
        write_ends(Path(place), options.documents)
        show("lognormal", EndsStore.open(Path(place)), options.lengths, options.rounds)
    store = TokenStore.open(options.store or text_store())
    show("text", store, options.lengths, options.rounds)


if __name__ == "__main__":
    main(sys.argv[1:])
