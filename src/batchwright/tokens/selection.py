"""Phase 2 of a store: which documents stay, and in which split.

    ids of all partials, in global order ─keep the first of each text─▶ kept ─hash of the id, keyed by the seed─▶ train
    | validation

The split follows the id of the document that stayed, after deduplication, so no text is in both. Copies of a repeated
document go with it into train, or go. Guarantee: a document's fate depends on the texts before it and the seed, not on
partitions. Price: one bit per document in memory, one byte on disk; ~1 µs per document.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from batchwright.documents.deduplication import ids_to_pairs, keep_first
from batchwright.documents.tally import Tally
from batchwright.foundation.array_file import ArrayFile, ArrayFileWriter
from batchwright.foundation.fingerprint import fingerprint
from batchwright.foundation.randomness import key
from batchwright.tokens.repetition import fates_of_copies
from batchwright.tokens.shard import ENDS_DTYPE, PROVENANCE

DROPPED, TRAIN, VALIDATION, NOT_COPIED = 0, 1, 2, 255
FATE_OF_SPLIT = {"train": TRAIN, "validation": VALIDATION}
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


@dataclass(frozen=True, kw_only=True)
class Selection:
    """How documents are chosen: everything a fate depends on beside the documents."""

    seed: int
    validation_fraction: float

    def name(self, partials: Sequence[Partial]) -> str:
        """Names the fates of these partials."""
        chosen = [self.seed, self.validation_fraction, [partial.key for partial in partials]]
        return fingerprint(["fates", *chosen])

    def write(self, work: Path, partials: Sequence[Partial], tally: Tally) -> ArrayFile:
        """One fate per document, in global order, as a file; what is dropped is written into the tally."""
        path = work / f"{self.name(partials)}.{FATES}"
        if not path.exists():
            kept = keep_first((_ids(work, partial) for partial in partials), scratch=work)
            with ArrayFileWriter(path, FATES, "<u1") as writer:
                first = 0
                for partial in partials:
                    stop = first + partial.documents
                    fates = np.where(kept.range(first, stop), self._split(_ids(work, partial)), DROPPED)
                    copies = partial.open(work, "provenance").array["copy"]
                    writer.append(fates_of_copies(fates, copies, TRAIN, NOT_COPIED))
                    first = stop
        fates = ArrayFile.open(path, FATES, "<u1")
        fates.verify()
        for partial, of_partial in fates_by_partial(fates, partials):
            sizes = partial.open(work, "provenance").array["text_bytes"][of_partial == DROPPED]
            if sizes.shape[0]:
                tally.drop_kept("duplicate", int(sizes.sum(dtype=np.int64)), sizes.shape[0])
        return fates

    def _split(self, pairs: NDArray[np.uint64]) -> NDArray[np.uint8]:
        """(n,) TRAIN or VALIDATION, by a 64-bit mix of the id with the seed's key."""
        threshold = int(self.validation_fraction * 2**64)
        mixed = mix(pairs[:, 0] ^ np.uint64(key(self.seed, "validation-split")))
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


def _ids(work: Path, partial: Partial) -> NDArray[np.uint64]:
    return ids_to_pairs(np.ascontiguousarray(partial.open(work, "provenance").array["id"]).tobytes())
