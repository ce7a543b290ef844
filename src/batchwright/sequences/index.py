"""The sequence index: which segments make up which row. Memory-mapped, read-only, opened in milliseconds at any size.

A directory beside the store, named by the hash of (store, split, packing, T, seed):

    manifest.json     what it was built from, counts, and the seal of every file below; written last
    segments.start    <i8  token address of each segment's first target (see `stored_tokens`)
    segments.length   <i4  its number of targets
    rows.first        <i8  first segment of each row, and one entry more: the number of segments
    rows.targets      <i4  targets in each row: its segments' lengths, less what a loss mask leaves out of them

Guarantee: every row has exactly T slots; what is laid and what is dropped make up what is stored; opened against
another store, or with a file missing or exchanged, it is an error and never another order. Price: 12 bytes per segment
and 12 per row (`bytes_per_segment`, `bytes_per_row`), 1.1 % of the tokens' size at 800 two-byte tokens a document and
T = 2,048.
"""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import xxhash
from numpy.typing import NDArray

from batchwright.foundation.array_file import ArrayFile
from batchwright.foundation.errors import CorruptDataError, InputError
from batchwright.foundation.files import read_json
from batchwright.foundation.fingerprint import fingerprint
from batchwright.sequences.document_table import DocumentTable
from batchwright.sequences.packing import Packing, packing_from_dict
from batchwright.sequences.stored_tokens import StoredTokens

FORMAT = "batchwright-sequences"
VERSION = 1
REBUILD = "remove the index's directory: it is built again from the store when it is needed"
FILES = {
    "segments.start": ("segment-starts", "<i8"),
    "segments.length": ("segment-lengths", "<i4"),
    "rows.first": ("row-firsts", "<i8"),
    "rows.targets": ("row-targets", "<i4"),
}


def describe_index(stored: StoredTokens, packing: Packing, sequence_length: int, seed: int) -> dict[str, Any]:
    """Everything that determines an index, as JSON. Its fingerprint is the index's name."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "store": stored.fingerprint,
        "split": stored.split,
        "packing": packing.to_dict(),
        "sequence_length": sequence_length,
        "seed": seed,
        # Only where there is one: indexes without keep the names they have.
        **({"loss_mask": True} if stored.masks else {}),
    }


def _bytes_per(beginning: str) -> int:
    return sum(np.dtype(dtype).itemsize for name, (_, dtype) in FILES.items() if name.startswith(beginning))


def seal_of(file: ArrayFile) -> str:
    """A file's content by its block checksums: what ties it to a manifest."""
    return xxhash.xxh3_128_hexdigest(file.checksums.tobytes())


@dataclass(frozen=True, kw_only=True, eq=False)
class SequenceIndex:
    """An opened index with the store it belongs to."""

    directory: Path
    stored: StoredTokens
    origin: dict[str, Any]
    documents_cut: int
    starts: ArrayFile
    lengths: ArrayFile
    row_firsts: ArrayFile
    row_targets: ArrayFile
    dropped: dict[str, int] = field(default_factory=dict[str, int])  # tokens by reason
    masked_count: int = 0  # tokens laid into rows that the loss mask leaves out of the targets

    @classmethod
    def open(cls, directory: Path, stored: StoredTokens) -> "SequenceIndex":
        """Open an index of this split. Raises InputError (another store), CorruptDataError (damaged)."""
        where = str(directory / "manifest.json")
        manifest = read_manifest(directory)
        try:
            origin, seals, counts = manifest["origin"], manifest["seals"], manifest["counts"]
            refuse_other_store(origin, stored, where)
            opened = {name: _open_file(directory / name, kind, dtype) for name, (kind, dtype) in FILES.items()}
            for name, file in opened.items():
                if seal_of(file) != seals[name]:
                    raise CorruptDataError("this file is not the one the index was built with", where=str(file.path))
            index = cls(
                directory=directory,
                stored=stored,
                origin=origin,
                documents_cut=int(counts["documents_cut"]),
                dropped={str(reason): int(count) for reason, count in counts["dropped"].items()},
                masked_count=int(counts.get("masked", 0)),
                starts=opened["segments.start"],
                lengths=opened["segments.length"],
                row_firsts=opened["rows.first"],
                row_targets=opened["rows.targets"],
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CorruptDataError(f"the manifest lacks or garbles {error}", where=where) from error
        found = {name: value for name, value in index.counts.items() if name in counts}
        if counts != found:
            raise CorruptDataError(f"the manifest counts {counts}, the files {found}", where=where)
        return index

    def file(self, name: str) -> ArrayFile:
        """One of `FILES`, by its name."""
        by_name = ("segments.start", self.starts), ("segments.length", self.lengths)
        return dict((*by_name, ("rows.first", self.row_firsts), ("rows.targets", self.row_targets)))[name]

    @cached_property
    def fingerprint(self) -> str:
        """The index's name: 32 hexadecimal digits."""
        return fingerprint(self.origin)

    @property
    def packing(self) -> Packing:
        return packing_from_dict(self.origin["packing"])

    @property
    def sequence_length(self) -> int:
        """T."""
        return int(self.origin["sequence_length"])

    @property
    def row_count(self) -> int:
        return self.row_targets.count

    @property
    def segment_count(self) -> int:
        return self.starts.count

    @property
    def masked(self) -> bool:
        """Whether its targets were counted by the store's loss mask; its batches then carry it."""
        return bool(self.origin.get("loss_mask", False))

    @property
    def laid_count(self) -> int:
        """Tokens per epoch that lie in a row: all that are stored but those that the packing drops."""
        return self.stored.token_count - sum(self.dropped.values())

    @property
    def target_count(self) -> int:
        """Targets per epoch: all tokens laid but those that the loss mask leaves out."""
        return self.laid_count - self.masked_count

    @property
    def padding_count(self) -> int:
        """Empty slots per epoch."""
        return self.row_count * self.sequence_length - self.laid_count

    @property
    def counts(self) -> dict[str, Any]:
        """The ledger of one epoch: stored = targets + masked + dropped (by reason); slots = targets + masked + padding.
        Without a loss mask there is no line for it."""
        return {
            "rows": self.row_count,
            "segments": self.segment_count,
            "slots": self.row_count * self.sequence_length,
            "targets": self.target_count,
            "padding": self.padding_count,
            "documents": self.stored.document_count,
            "documents_cut": self.documents_cut,
            "stored": self.stored.token_count,
            "dropped": dict(self.dropped),
            **({"masked": self.masked_count} if self.masked else {}),
        }

    @property
    def bytes_per_segment(self) -> int:
        return _bytes_per("segments.")

    @property
    def bytes_per_row(self) -> int:
        return _bytes_per("rows.")

    @property
    def payload_bytes(self) -> int:
        """What the four files hold, headers and checksums apart (8 bytes per MiB)."""
        return self.segment_count * self.bytes_per_segment + self.row_count * self.bytes_per_row

    @cached_property
    def document_table(self) -> DocumentTable:
        return DocumentTable.of(self.stored)

    def segments_of(self, row: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """(starts, lengths) of a row's segments, checked. Raises CorruptDataError."""
        self.row_firsts.check(row, row + 2)
        first, stop = self.row_firsts.array[row : row + 2].tolist()
        self.starts.check(first, stop)
        self.lengths.check(first, stop)
        return self.starts.array[first:stop], self.lengths.array[first:stop]

    def targets_of(self, rows: NDArray[np.int64]) -> int:
        """Targets in these rows together."""
        if self.row_targets.unchecked.any():
            for row in rows.tolist():
                self.row_targets.check(row, row + 1)
        return int(self.row_targets.array[rows].sum(dtype=np.int64))


def read_manifest(directory: Path) -> dict[str, Any]:
    """An index's manifest, its seal and its directory's name checked. Raises CorruptDataError, InputError (none
    there)."""
    where = str(directory / "manifest.json")
    manifest = read_json(directory / "manifest.json")
    if not isinstance(manifest, dict):
        raise CorruptDataError("the manifest of this index is not an object", where=where, remedy=REBUILD)
    sealed = cast("dict[str, Any]", manifest)
    if (sealed.get("format"), sealed.get("version")) != (FORMAT, VERSION):
        raise CorruptDataError(f"this is not a {FORMAT} manifest of version {VERSION}", where=where, remedy=REBUILD)
    # A seed with one flipped bit is a seed, too: the manifest is sealed like the files it names.
    seal = sealed.pop("seal", None)
    if seal != fingerprint(sealed) or fingerprint(sealed.get("origin")) != directory.name:
        raise CorruptDataError("the manifest of this index was changed", where=where, remedy=REBUILD)
    return sealed


def _open_file(path: Path, kind: str, dtype: str) -> ArrayFile:
    if not path.exists():
        raise CorruptDataError("a file of the index is missing", where=str(path), remedy=REBUILD)
    return ArrayFile.open(path, kind, dtype)


def refuse_other_store(origin: dict[str, Any], stored: StoredTokens, where: str) -> None:
    """Raises InputError when an index was built from another store or split than the one at hand."""
    if origin["store"] != stored.fingerprint or origin["split"] != stored.split:
        raise InputError(
            f"this sequence index was built from store {origin['store']} (split {origin['split']!r}), "
            f"the store here is {stored.fingerprint} (split {stored.split!r})",
            where=where,
            remedy="build the index of this store anew; a checkpoint made with the old store needs the old store",
        )
    if origin.get("loss_mask", False) and not stored.masks:
        raise InputError("this sequence index counts a loss mask, the store here has none", where=where)
