"""Every byte of a store's sequence indexes compared with what was written, and their rows with the store.

Guarantee: an index that passes is the one that was built: its manifest and files are sealed, its segments lie inside
the split's tokens, fill no row beyond T and add up to the targets that its ledger names. Price: one pass over 12
bytes per segment and per row, ~1 GB per CPU-second; where a loss mask counts, over its byte per token too.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from batchwright.foundation.errors import BatchwrightError, CorruptDataError
from batchwright.foundation.files import translated
from batchwright.sequences.index import FILES, REBUILD, SequenceIndex, read_manifest
from batchwright.sequences.loss_masks import LossMasks
from batchwright.sequences.stored_tokens import Store, StoredTokens


def index_directories(store: Store) -> list[Path]:
    """The finished indexes beside a store, in order of their names."""
    home = store.directory / "sequences"
    if not home.is_dir():
        return []
    with translated(home):
        return sorted(path for path in home.iterdir() if path.is_dir() and not path.suffix)


def verify_indexes(store: Store) -> list[BatchwrightError]:
    """What is wrong with a store's indexes, one error per damaged one."""
    return [error for directory in index_directories(store) for error in _damage(store, directory)]


def _damage(store: Store, directory: Path) -> Iterator[BatchwrightError]:
    try:
        origin = read_manifest(directory)["origin"]
        index = SequenceIndex.open(directory, StoredTokens.of(store, origin["split"]))
        for name in FILES:
            index.file(name).verify()
        _check_rows(index)
    except BatchwrightError as error:
        error.remedy = error.remedy or REBUILD
        yield error


def _check_rows(index: SequenceIndex) -> None:
    firsts, targets = index.row_firsts.array, index.row_targets.array
    where = str(index.directory)
    if int(firsts[0]) != 0 or int(firsts[-1]) != index.segment_count or bool((np.diff(firsts) < 1).any()):
        raise CorruptDataError("the rows do not follow one another through the segments", where=where)
    starts, lengths = index.starts.array, index.lengths.array
    items = sum(shard.tokens.count for shard in index.stored.shards)
    if int(lengths.min()) < 1 or int(starts.min()) < 1 or int((starts + lengths).max()) > items:
        raise CorruptDataError("a segment lies outside the tokens of its split", where=where)
    filled = np.add.reduceat(lengths, firsts[:-1], dtype=np.int64)
    masks = LossMasks.of(index.stored) if index.masked else None
    if masks is not None:
        masks.verify()
    weighing = lengths if masks is None else masks.targets_in(starts, lengths)
    if not np.array_equal(np.add.reduceat(weighing, firsts[:-1], dtype=np.int64), targets):
        raise CorruptDataError("the segments of a row do not add up to its targets", where=where)
    if int(filled.max()) > index.sequence_length or int(targets.sum(dtype=np.int64)) != index.target_count:
        raise CorruptDataError("the targets of the rows do not add up to those of the index", where=where)
