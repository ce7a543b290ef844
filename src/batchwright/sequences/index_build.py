"""Building a sequence index: window after window, in bounded memory, whole or not at all.

Guarantee: the bytes depend on (store, split, packing, T, seed) alone; an index that is already there is opened, not
built; a crash leaves nothing that could be mistaken for an index. Price: ~0.1 CPU-s per million documents (10 million,
T = 2,048) and the arrays of one window (65,536 documents: ~40 MB), whatever the size of the store.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from batchwright.foundation.array_file import ArrayFile, ArrayFileWriter
from batchwright.foundation.errors import CorruptDataError
from batchwright.foundation.files import WriterLock, sync_directory, translated, write_json
from batchwright.foundation.fingerprint import fingerprint
from batchwright.foundation.permutation import KeyedPermutation
from batchwright.foundation.randomness import key
from batchwright.sequences.document_table import DocumentTable
from batchwright.sequences.index import FILES, SequenceIndex, describe_index, seal_of
from batchwright.sequences.packing import BestFit, Packing, check_sequence_length
from batchwright.sequences.stored_tokens import Store, StoredTokens

Progress = Callable[[int, int], None]
_DEFAULT_PACKING = BestFit()


def build_index(
    store: Store,
    *,
    sequence_length: int,
    split: str = "train",
    packing: Packing = _DEFAULT_PACKING,
    seed: int = 0,
    directory: Path | None = None,
    progress: Progress | None = None,
) -> SequenceIndex:
    """The index of one split of a store: opened if it is there, else built.

    `directory` holds the indexes (default: `sequences/` in the store); `progress(documents done, documents)` is called
    once per window. Raises InputError (T too small, an empty split), LockedError (somebody else is building).
    """
    check_sequence_length(sequence_length)
    stored = StoredTokens.of(store, split)
    origin = describe_index(stored, packing, sequence_length, seed)
    home = directory if directory is not None else stored.directory / "sequences"
    final = home / fingerprint(origin)
    if not (final / "manifest.json").exists():
        with WriterLock(home):
            aside = home / f"{final.name}.building"
            with translated(home):
                shutil.rmtree(aside, ignore_errors=True)
                shutil.rmtree(final, ignore_errors=True)
            _write(aside, stored, packing, origin, progress)
            with translated(final):
                os.replace(aside, final)
            sync_directory(home)
    return SequenceIndex.open(final, stored)


def windows(packing: Packing, document_count: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Which blocks of documents each window draws: (blocks,) int64, every block exactly once."""
    blocks = -(-document_count // packing.block_documents)
    per_window = packing.window_documents // packing.block_documents
    order = KeyedPermutation(size=blocks, key=key(seed, "packing-blocks"))
    for first in range(0, blocks, per_window):
        count = min(per_window, blocks - first)
        yield order.forward_range(first, count) if packing.shuffled else np.arange(first, first + count, dtype=np.int64)


class _RowWriter:
    """Appends windows to the four files; the targets of a row are known when the next one begins."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self._files = {
            name: stack.enter_context(ArrayFileWriter(directory / name, kind, dtype))
            for name, (kind, dtype) in FILES.items()
        }
        self._targets = 0
        self._row_starts = np.empty(0, np.int64)  # of the row begun last, in targets

    def append(self, starts: NDArray[np.int64], lengths: NDArray[np.int32], row_first: NDArray[np.int64]) -> None:
        """Segments in row order; `row_first` are the segments, of these, at which rows begin."""
        before = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)]) + self._targets
        begun = np.concatenate([self._row_starts, before[row_first]])
        self._append("rows.first", row_first + self._files["segments.start"].count)
        self._append("rows.targets", np.diff(begun).astype(np.int32))
        self._append("segments.start", starts)
        self._append("segments.length", lengths)
        self._targets = int(before[-1])
        self._row_starts = begun[-1:]

    def close(self) -> int:
        """End the last row; the number of targets written."""
        self._append("rows.targets", (self._targets - self._row_starts).astype(np.int32))
        self._append("rows.first", np.array([self._files["segments.start"].count], np.int64))
        return self._targets

    def _append(self, name: str, values: NDArray[Any]) -> None:
        self._files[name].append(values)


def _write(
    directory: Path, stored: StoredTokens, packing: Packing, origin: dict[str, Any], progress: Progress | None
) -> None:
    sequence_length = int(origin["sequence_length"])
    table = DocumentTable(stored)
    table.verify()
    done = documents_cut = open_slots = 0
    with ExitStack() as stack:
        writer = _RowWriter(directory, stack)
        for blocks in windows(packing, table.document_count, int(origin["seed"])):
            starts, lengths = table.read_blocks(blocks, packing.block_documents)
            packed = packing.pack(lengths, sequence_length, open_slots=open_slots)
            writer.append(starts[packed.document] + packed.begin, packed.length, packed.row_first)
            open_slots = packed.open_slots
            documents_cut += int(np.count_nonzero(np.bincount(packed.document) > 1))
            done += lengths.shape[0]
            if progress is not None:
                progress(done, table.document_count)
        targets = writer.close()
    if targets != stored.token_count:
        raise CorruptDataError(
            f"the documents hold {targets:,} tokens, the store's manifest says {stored.token_count:,}",
            where=str(stored.directory),
        )
    _write_manifest(directory, stored, origin, documents_cut)


def _write_manifest(directory: Path, stored: StoredTokens, origin: dict[str, Any], documents_cut: int) -> None:
    files = {name: ArrayFile.open(directory / name, kind, dtype) for name, (kind, dtype) in FILES.items()}
    index = SequenceIndex(
        directory=directory,
        stored=stored,
        origin=origin,
        documents_cut=documents_cut,
        starts=files["segments.start"],
        lengths=files["segments.length"],
        row_firsts=files["rows.first"],
        row_targets=files["rows.targets"],
    )
    seals = {name: seal_of(file) for name, file in files.items()}
    write_json(
        directory / "manifest.json",
        {
            "format": origin["format"],
            "version": origin["version"],
            "origin": origin,
            "counts": index.counts,
            "seals": seals,
        },
    )
