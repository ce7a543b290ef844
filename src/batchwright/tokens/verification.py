"""Every byte of a store compared with what was written, and every number with every other.

Guarantee: a store that passes is bit for bit the one that was prepared (sha256 of every file, checksum of every block)
and is well formed: ids below the vocabulary, ends ascending, every document closed by <endoftext> and none inside, a
loss mask of zeros and ones.
Price: one pass over the store at ~1 GB per CPU-second; memory of one piece.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from batchwright.foundation.errors import BatchwrightError, CorruptDataError
from batchwright.foundation.fingerprint import sha256_file
from batchwright.foundation.units import MiB
from batchwright.tokens.manifest import ShardEntry
from batchwright.tokens.shard import FIRST_ITEM, Shard
from batchwright.tokens.store import TokenStore

_ITEMS_PER_PIECE = 4 * MiB


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What was checked and what is wrong, one error per damaged file."""

    fingerprint: str
    files: int
    bytes: int
    documents: int
    tokens: int
    damage: tuple[BatchwrightError, ...]

    @property
    def sound(self) -> bool:
        return not self.damage


def verify(store: TokenStore, progress: Callable[[int, int], None] | None = None) -> Verification:
    """Check the whole store; `progress` hears (bytes checked, bytes in all). Damage is in the report, not raised."""
    manifest = store.manifest
    entries = [(store.directory / name, entry) for name, entry in manifest.files.items()]
    for shard in manifest.shards:
        entries += [(store.directory / f"{shard.name}.{kind}", entry) for kind, entry in shard.files.items()]
    total, done = sum(entry.bytes for _, entry in entries), 0
    damage: list[BatchwrightError] = []
    for path, entry in entries:
        damage += _caught(lambda path=path, wanted=entry.sha256: _check_content(path, wanted))
        done += entry.bytes
        if progress is not None:
            progress(done, total)
    for shard in manifest.shards:
        damage += _caught(lambda shard=shard: _check_shard(store, shard))
    counts = manifest.counts()
    return Verification(
        fingerprint=store.fingerprint,
        files=len(entries),
        bytes=total,
        documents=counts.documents,
        tokens=counts.tokens,
        damage=tuple(damage),
    )


def _caught(check: Callable[[], None]) -> Iterator[BatchwrightError]:
    try:
        check()
    except BatchwrightError as error:
        yield error


def _check_content(path: Path, wanted: str) -> None:
    found = sha256_file(path)
    if found != wanted:
        raise CorruptDataError(f"sha256 is {found}, the manifest says {wanted}", where=str(path))


def _check_shard(store: TokenStore, entry: ShardEntry) -> None:
    shard = Shard.open(store.directory, entry, np.dtype(store.manifest.dtype))
    for file in (shard.tokens, shard.documents, shard.provenance):
        file.verify()
    ends = shard.documents.array
    firsts = np.concatenate([np.array([FIRST_ITEM]), ends[:-1]])
    where = str(shard.documents.path)
    if ends.shape[0] and (int((ends - firsts).min()) < 1 or int(ends[-1]) != shard.tokens.count):
        raise CorruptDataError("the ends of documents do not ascend to the end of the tokens", where=where)
    if int(shard.provenance.array["text_bytes"].sum(dtype=np.int64)) != entry.text_bytes:
        raise CorruptDataError("the text bytes of the documents do not add up", where=str(shard.provenance.path))
    _check_tokens(store, shard, ends)
    _check_mask(shard)


def _check_tokens(store: TokenStore, shard: Shard, ends: NDArray[np.int64]) -> None:
    """<endoftext> stands at item 0 and before every end, and nowhere else; every id is in the vocabulary."""
    tokens: NDArray[Any] = shard.tokens.array
    where = str(shard.tokens.path)
    expected = np.concatenate([np.zeros(1, np.int64), ends - 1])
    seen = 0
    for first in range(0, tokens.shape[0], _ITEMS_PER_PIECE):
        piece = tokens[first : first + _ITEMS_PER_PIECE]
        if int(piece.max()) >= store.vocabulary_size:
            raise CorruptDataError(
                f"id {int(piece.max()):,} is outside the vocabulary of {store.vocabulary_size:,}", where=where
            )
        found = first + np.flatnonzero(piece == store.eot_id)
        if not np.array_equal(found, expected[seen : seen + found.shape[0]]):
            raise CorruptDataError("an <endoftext> stands inside a document", where=where)
        seen += found.shape[0]
    if seen != expected.shape[0]:
        raise CorruptDataError("a document is not closed by <endoftext>", where=where)


def _check_mask(shard: Shard) -> None:
    """A loss mask, where there is one, holds 0 and 1, and 0 for the guard."""
    if shard.mask is None:
        return
    shard.mask.verify()
    mask: NDArray[Any] = shard.mask.array
    if mask.shape[0] and (int(mask.max()) > 1 or int(mask[0]) != 0):
        raise CorruptDataError("the loss mask holds something else than 0 and 1", where=str(shard.mask.path))
