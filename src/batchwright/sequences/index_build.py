"""Building a sequence index: window after window, in bounded memory, whole or not at all.

Guarantee: the bytes depend on (store, split, packing, T, seed) alone, not on the engine that packs them; an index that
is already there is opened, not built; a crash at any instruction leaves nothing that could be mistaken for an index,
and the parts that were done. Price: ~0.1 CPU-s per million documents (T = 2,048) and the arrays of one window (65,536
documents: ~40 MB) per worker, whatever the size of the store.
"""

import os
import shutil
from collections.abc import Callable
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

from batchwright.foundation.array_file import ArrayFile
from batchwright.foundation.errors import CorruptDataError
from batchwright.foundation.execution import Executor
from batchwright.foundation.files import (
    WriterLock,
    remove_directory,
    remove_temporaries,
    sync_directory,
    translated,
    write_json,
)
from batchwright.foundation.fingerprint import fingerprint
from batchwright.sequences.document_table import DocumentTable
from batchwright.sequences.index import FILES, SequenceIndex, describe_index, seal_of
from batchwright.sequences.index_parts import join_parts, part_tasks, run_parts
from batchwright.sequences.ledger import Ledger
from batchwright.sequences.loss_masks import LossMasks
from batchwright.sequences.packing import BestFit, Packing, check_sequence_length
from batchwright.sequences.row_writer import write_rows
from batchwright.sequences.stored_tokens import Store, StoredTokens
from batchwright.sequences.windows import packed_windows

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
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> SequenceIndex:
    """The index of one split of a store: opened if it is there, else built.

    `directory` holds the indexes (default: `sequences/` in the store); with an `executor`, ranges of windows are packed
    by its workers and joined (a packing whose windows flow into one another is packed here); `progress(documents done,
    documents)` is called once per window, or once per range. When another process is building here, this one waits and
    then opens what that one built. Raises InputError (T too small, an empty split).
    """
    check_sequence_length(sequence_length)
    stored = StoredTokens.of(store, split)
    origin = describe_index(stored, packing, sequence_length, seed)
    home = directory if directory is not None else stored.directory / "sequences"
    final = home / fingerprint(origin)
    if not (final / "manifest.json").exists():
        with WriterLock(home, wait=True):
            if (final / "manifest.json").exists():
                return SequenceIndex.open(final, stored)
            aside, parts = home / f"{final.name}.building", home / f"{final.name}.parts"
            with translated(home):
                shutil.rmtree(aside, ignore_errors=True)
                shutil.rmtree(final, ignore_errors=True)
                aside.mkdir()
            remove_temporaries(parts)
            _build(aside, parts, stored, packing, origin, executor, progress)
            with translated(final):
                os.replace(aside, final)
            sync_directory(home)
    return SequenceIndex.open(final, stored)


def _build(
    directory: Path,
    parts: Path,
    stored: StoredTokens,
    packing: Packing,
    origin: dict[str, Any],
    executor: Executor | None,
    progress: Progress | None,
) -> None:
    table, masks = DocumentTable.of(stored), LossMasks.of(stored)
    table.verify()
    if masks is not None:
        masks.verify()

    def done(laid: int) -> None:
        if progress is not None:
            progress(laid, table.document_count)

    tasks = [] if executor is None or packing.streams else part_tasks(table, masks, packing, origin, parts)
    if executor is not None and len(tasks) > 1:
        ledger = reduce(add, run_parts(tasks, executor, done))
        join_parts(tasks, directory)
    else:
        length = int(origin["sequence_length"])
        windows = packed_windows(table, packing, length, int(origin["seed"]))
        ledger = write_rows(lambda name: directory / name, packing, length, windows, masks, done)
    ledger.check_against(stored, masks)
    _write_manifest(directory, stored, origin, ledger)
    remove_directory(parts)


def _write_manifest(directory: Path, stored: StoredTokens, origin: dict[str, Any], ledger: Ledger) -> None:
    files = {name: ArrayFile.open(directory / name, kind, dtype) for name, (kind, dtype) in FILES.items()}
    index = SequenceIndex(
        directory=directory,
        stored=stored,
        origin=origin,
        documents_cut=ledger.documents_cut,
        dropped=ledger.dropped,
        masked_count=ledger.masked,
        starts=files["segments.start"],
        lengths=files["segments.length"],
        row_firsts=files["rows.first"],
        row_targets=files["rows.targets"],
    )
    found = (ledger.rows, ledger.segments, ledger.targets, ledger.padding)
    counted = (index.row_count, index.segment_count, index.target_count, index.padding_count)
    if found != counted:
        raise CorruptDataError(f"the files hold {counted}, what was packed is {found}", where=str(directory))
    seals = {name: seal_of(file) for name, file in files.items()}
    manifest = {
        "format": origin["format"],
        "version": origin["version"],
        "origin": origin,
        "counts": index.counts,
        "seals": seals,
    }
    write_json(directory / "manifest.json", {**manifest, "seal": fingerprint(manifest)})
