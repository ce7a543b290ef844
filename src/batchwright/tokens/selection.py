"""Phase 2 of a store: which documents stay, and in which split.

    ids of all partials, in global order ─keep the first of each text─▶ kept ─keep the first of each cluster─▶ kept
    root of the cluster ─hash of its id, keyed by the seed─▶ train | validation

The split follows the id of the first document of a cluster of near-duplicates (of the text itself, where none are
looked for), so neither a text nor a near copy of it is in both. Copies of a repeated document go with it into train, or
go. Guarantee: a document's fate depends on the texts before it and the seed (where near-duplicates are looked for, on
all texts), not on partitions. Price: one bit per document in memory, with near-duplicates 8 bytes more; one byte on
disk; ~1 µs per document.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from batchwright.documents.deduplication import ids_to_pairs, keep_first
from batchwright.documents.near_duplicates import NearDuplicates
from batchwright.documents.tally import Tally
from batchwright.foundation.array_file import ArrayFile, ArrayFileWriter
from batchwright.foundation.fingerprint import fingerprint
from batchwright.foundation.randomness import key
from batchwright.tokens.repetition import fates_of_copies
from batchwright.tokens.shard import ENDS_DTYPE, PROVENANCE

DROPPED, TRAIN, VALIDATION, NEAR_DUPLICATE, IN_OTHER_STORE, NEAR_OTHER_STORE, NOT_COPIED = *range(6), 255
FATE_OF_SPLIT = {"train": TRAIN, "validation": VALIDATION}
REASON_OF_FATE = {
    DROPPED: "duplicate",
    NEAR_DUPLICATE: "near_duplicate",
    IN_OTHER_STORE: "in_other_store",
    NEAR_OTHER_STORE: "near_other_store",
}
FATES = "fates"


@dataclass(frozen=True, kw_only=True)
class Partial:
    """A finished partition: its name in the folder of unfinished work, and what its manifest says."""

    key: str
    documents: int
    tokens: int
    text_bytes: int

    def open(self, work: Path, kind: str) -> ArrayFile:
        """One of its files. Raises CorruptDataError when it is not what was written."""
        dtype = {"documents": ENDS_DTYPE, "provenance": PROVENANCE}.get(kind)
        file = ArrayFile.open(work / f"{self.key}.{kind}", kind, dtype)
        file.verify()
        return file


class Earlier(Protocol):
    """Documents that come before all of the job's own: another store's."""

    @property
    def documents(self) -> int: ...

    def ids(self) -> Iterator[NDArray[np.uint64]]:
        """(n, 2) their ids in order, in pieces."""
        ...


@dataclass(frozen=True, kw_only=True)
class Selection:
    """How documents are chosen: everything a fate depends on beside the documents."""

    seed: int
    validation_fraction: float
    near_duplicates: NearDuplicates | None = None
    against: tuple[str, ...] = ()

    def name(self, partials: Sequence[Partial]) -> str:
        """Names the fates of these partials."""
        near = None if self.near_duplicates is None else self.near_duplicates.to_json()
        chosen = [self.seed, self.validation_fraction, near, self.against, [partial.key for partial in partials]]
        return fingerprint(["fates", *chosen])

    def write(
        self,
        work: Path,
        partials: Sequence[Partial],
        tally: Tally,
        roots: ArrayFile | None = None,
        earlier: Sequence[Earlier] = (),
    ) -> ArrayFile:
        """One fate per document, in global order, as a file; what is dropped is written into the tally.

        roots: the first document of every document's cluster, where near-duplicates are looked for; `earlier` documents
        come first in it and in the order of texts, and have no fate.
        """
        path = work / f"{self.name(partials)}.{FATES}"
        if not path.exists():
            self._decide(path, work, partials, roots, earlier)
        fates = ArrayFile.open(path, FATES, "<u1")
        fates.verify()
        for partial, of_partial in fates_by_partial(fates, partials):
            sizes = partial.open(work, "provenance").array["text_bytes"]
            for fate, reason in REASON_OF_FATE.items():
                gone = sizes[of_partial == fate]
                if gone.shape[0]:
                    tally.drop_kept(reason, int(gone.sum(dtype=np.int64)), gone.shape[0])
        return fates

    def _decide(
        self, path: Path, work: Path, partials: Sequence[Partial], roots: ArrayFile | None, earlier: Sequence[Earlier]
    ) -> None:
        base = sum(other.documents for other in earlier)
        before = (ids for other in earlier for ids in other.ids())
        kept = keep_first(chain(before, (_ids(work, partial) for partial in partials)), scratch=work)
        fresh = keep_first((_ids(work, partial) for partial in partials), scratch=work) if base else None
        heads = None if roots is None else _heads(work, partials, earlier)
        with ArrayFileWriter(path, FATES, "<u1") as writer:
            first = 0
            for partial in partials:
                stop = first + partial.documents
                if roots is None or heads is None:
                    fates = self._split(_ids(work, partial)[:, 0])
                else:
                    fates = self._fates_of_cluster(roots.array[base + first : base + stop], base + first, base, heads)
                fates[~kept.range(base + first, base + stop)] = IN_OTHER_STORE if base else DROPPED
                if fresh is not None:  # a text that the new documents themselves repeat
                    fates[~fresh.range(first, stop)] = DROPPED
                copies = partial.open(work, "provenance").array["copy"]
                writer.append(fates_of_copies(fates, copies, TRAIN, NOT_COPIED))
                first = stop

    def _fates_of_cluster(
        self, roots: NDArray[np.int64], first: int, base: int, heads: NDArray[np.uint64]
    ) -> NDArray[np.uint8]:
        """(n,) fates of documents `first` …, which all stand on the side of their cluster's root."""
        fates = self._split(heads[roots])
        if self.near_duplicates is not None and self.near_duplicates.action == "drop":
            fates[roots != np.arange(first, first + len(roots))] = NEAR_DUPLICATE
            fates[roots < base] = NEAR_OTHER_STORE
        return fates

    def _split(self, heads: NDArray[np.uint64]) -> NDArray[np.uint8]:
        """(n,) TRAIN or VALIDATION, by a 64-bit mix of the ids' first halves with the seed's key."""
        threshold = int(self.validation_fraction * 2**64)
        mixed = mix(heads ^ np.uint64(key(self.seed, "validation-split")))
        return np.where(mixed < np.uint64(min(threshold, 2**64 - 1)), VALIDATION, TRAIN).astype(np.uint8)


def fates_by_partial(fates: ArrayFile, partials: Sequence[Partial]) -> Iterator[tuple[Partial, NDArray[Any]]]:
    """Each partial with the fates of its documents."""
    first = 0
    for partial in partials:
        yield partial, fates.array[first : first + partial.documents]
        first += partial.documents


def mix(value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A bijection of 64 bits in which every input bit moves every output bit (murmur3's finaliser)."""
    value = (value ^ (value >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    value = (value ^ (value >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return value ^ (value >> np.uint64(33))


def _heads(work: Path, partials: Sequence[Partial], earlier: Sequence[Earlier]) -> NDArray[np.uint64]:
    """Half of every document's id, in memory: a root may lie anywhere."""
    theirs = [ids[:, 0] for other in earlier for ids in other.ids()]
    return np.concatenate([*theirs, *(_ids(work, partial)[:, 0] for partial in partials)])


def _ids(work: Path, partial: Partial) -> NDArray[np.uint64]:
    return ids_to_pairs(np.ascontiguousarray(partial.open(work, "provenance").array["id"]).tobytes())
