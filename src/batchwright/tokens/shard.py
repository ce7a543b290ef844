"""A token shard: the ids of many documents in one file, and side-cars that say where each ends and where it came from.

    00000.tokens      kind "tokens", <u2 or <u4   ␃ a a a ␃ b b ␃ …   item 0 is a guard <endoftext>; every document
                      is closed by one, so the input of the target at item g is item g-1, for the first token too
    00000.documents   kind "documents", <i8       exclusive ends into .tokens, one per document; the first begins at 1
    00000.provenance  kind "provenance", 40 bytes a document: the `PROVENANCE` record below
    00000.mask        kind "mask", <u1, only where a loss mask was imported: item g is 1 where item g of .tokens is
                      meant as a target, else 0; 0 for the guard

    00000.signatures  kind "signatures", <u4, only where near-duplicates were looked for: as many items per document as
                      the recipe's `near_duplicates` have bands × rows (documents.signatures)

Guarantee: an opened shard is the one its manifest lists (item counts and the seal over all block checksums are
compared), so a shard cut short, damaged in its header or swapped with another is a `CorruptDataError`. Price: ~0.3 ms
to open; 2 or 4 bytes per token, 48 per document.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from batchwright.foundation.array_file import ArrayFile
from batchwright.foundation.errors import CorruptDataError
from batchwright.foundation.fingerprint import sha256_file
from batchwright.tokens.manifest import FileEntry, ShardEntry

FIRST_ITEM = 1
"""Where document 0 begins in `.tokens`: after the guard."""

ENDS_DTYPE = np.dtype("<i8")
PROVENANCE = np.dtype(
    [
        ("id", "u1", (16,)),  # xxh3-128 of the cleaned text: the document's name everywhere
        ("offset", "<u8"),  # where it begins in its file: a byte, or a row of parquet
        ("file", "<u4"),  # line of inputs.jsonl
        ("text_bytes", "<u4"),  # of the cleaned text
        ("source", "<u2"),  # index into the manifest's sources
        ("flags", "<u2"),  # what cleaning changed
        ("copy", "<u2"),  # 0, or the number of an augmented copy
        ("reserved", "<u2"),
    ]
)
MASK_DTYPE = np.dtype("<u1")
SIGNATURES_DTYPE = np.dtype("<u4")
SIDE_CARS = {
    "tokens": None,
    "documents": ENDS_DTYPE,
    "provenance": PROVENANCE,
    "mask": MASK_DTYPE,
    "signatures": SIGNATURES_DTYPE,
}


def dtype_for(vocabulary_size: int) -> np.dtype[Any]:
    """The smallest item that holds every id: two bytes up to 65,536 ids, else four."""
    return np.dtype("<u2") if vocabulary_size <= 1 << 16 else np.dtype("<u4")


def require_ids_below(vocabulary_size: int, ids: NDArray[Any]) -> None:
    """Before a cast to the shard's dtype: an id outside the vocabulary is our own mistake and never wraps around."""
    if ids.shape[0] and not 0 <= int(ids.min()) <= int(ids.max()) < vocabulary_size:
        raise AssertionError(f"ids {int(ids.min())} to {int(ids.max())} in a vocabulary of {vocabulary_size}")


def seal_of(file: ArrayFile) -> str:
    """What identifies a file's payload without reading it: the hash of its block checksums, as in its header."""
    return xxhash.xxh3_128_hexdigest(file.checksums.tobytes())


def describe(path: Path, kind: str) -> FileEntry:
    """The manifest's entry of a finished file. Reads it once, for sha256."""
    file = ArrayFile.open(path, kind, SIDE_CARS[kind])
    return FileEntry(bytes=path.stat().st_size, sha256=sha256_file(path), seal=seal_of(file))


@dataclass(frozen=True, kw_only=True, eq=False)
class Shard:
    """An opened shard: memory maps, checked block by block when first touched."""

    name: str
    tokens: ArrayFile
    documents: ArrayFile
    provenance: ArrayFile
    mask: ArrayFile | None = None

    @classmethod
    def open(cls, directory: Path, entry: ShardEntry, dtype: np.dtype[Any]) -> "Shard":
        """Open the files and compare them with the manifest. Raises CorruptDataError, InputError (one is missing)."""
        dtypes = SIDE_CARS | {"tokens": dtype}
        counts = {"tokens": entry.tokens + FIRST_ITEM, "documents": entry.documents, "provenance": entry.documents}
        if "mask" in entry.files:
            counts["mask"] = counts["tokens"]
        files: dict[str, ArrayFile] = {}
        for kind, expected in counts.items():
            file = ArrayFile.open(directory / f"{entry.name}.{kind}", kind, dtypes[kind])
            if file.count != expected:
                raise CorruptDataError(
                    f"the file holds {file.count:,} items, the manifest says {expected:,}", where=str(file.path)
                )
            if seal_of(file) != entry.files[kind].seal:
                raise CorruptDataError(
                    "the file is not the one that the manifest lists (its checksums differ)",
                    where=str(file.path),
                    remedy="restore the shard from a copy; it may have been swapped with another one",
                )
            files[kind] = file
        return cls(name=entry.name, **files)

    @property
    def document_count(self) -> int:
        return self.documents.count

    def span(self, document: int) -> tuple[int, int]:
        """Items [first, stop) of a document, its closing <endoftext> included."""
        self.documents.check(max(document - 1, 0), document + 1)
        ends = self.documents.array
        return (int(ends[document - 1]) if document else FIRST_ITEM), int(ends[document])
