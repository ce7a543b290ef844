"""A token store: a directory of shards that is opened in milliseconds and read by address.

Addresses: per split, the items of its shards laid end to end, guards included. The target at address g has its input at
g-1; a document's targets are addresses [first, stop), the last one its closing <endoftext>. Documents are numbered per
split in the order of (source, path, offset).

Guarantee: what is read is what was written; blocks are checked when first touched, all of them by
`verification.verify`. Nothing here writes. Price: ~0.3 ms per shard to open, three memory maps each; lengths are
computed from the ends, 8 bytes per document asked for.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any, cast

import numpy as np
import orjson
from numpy.typing import NDArray

from batchwright.documents.document import DocumentFlag
from batchwright.foundation.errors import CorruptDataError, InputError, nearest
from batchwright.foundation.files import translated
from batchwright.foundation.fingerprint import sha256_file
from batchwright.tokens.infilling import restored
from batchwright.tokens.manifest import MANIFEST, SPLITS, Counts, StoreManifest
from batchwright.tokens.shard import FIRST_ITEM, Shard
from batchwright.tokens.tokenizer import Tokenizer, open_tokenizer
from batchwright.tokens.unknown import UnknownVocabulary

TOKENIZER = "tokenizer.json"
INPUTS = "inputs.jsonl"
PROVENANCE_FILE = "provenance.json"
_DOCUMENTS_PER_BLOCK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a stored document came from."""

    id: str
    source: str
    path: str
    offset: int
    text_bytes: int
    flags: int
    copy: int


@dataclass(frozen=True, kw_only=True, eq=False)
class StoreSplit:
    """One split as one address space. `token_starts[s]` is the address of shard s's guard, `document_starts[s]` its
    first document's number.
    """

    name: str
    shards: tuple[Shard, ...]
    counts: Counts
    token_starts: NDArray[np.int64]
    document_starts: NDArray[np.int64]

    @classmethod
    def of(cls, name: str, shards: tuple[Shard, ...], counts: Counts) -> "StoreSplit":
        def starts(sizes: Iterator[int]) -> NDArray[np.int64]:
            return np.fromiter(accumulate(sizes, initial=0), np.int64)

        return cls(
            name=name,
            shards=shards,
            counts=counts,
            token_starts=starts(shard.tokens.count for shard in shards),
            document_starts=starts(shard.document_count for shard in shards),
        )

    @property
    def document_count(self) -> int:
        return self.counts.documents

    @property
    def token_count(self) -> int:
        """Stored tokens, each a target once per epoch: closing <endoftext> included, guards not."""
        return self.counts.tokens

    @property
    def address_count(self) -> int:
        """Size of the address space: tokens and one guard per shard."""
        return int(self.token_starts[-1])

    def locate(self, document: int) -> tuple[int, int]:
        """(shard, document within it). Raises InputError when there is no such document."""
        if not 0 <= document < self.document_count:
            raise InputError(f"there is no document {document:,}; the {self.name} split has {self.document_count:,}")
        shard = int(np.searchsorted(self.document_starts, document, "right")) - 1
        return shard, document - int(self.document_starts[shard])

    def span(self, document: int) -> tuple[int, int]:
        """Addresses [first, stop) of a document's targets."""
        shard, local = self.locate(document)
        first, stop = self.shards[shard].span(local)
        base = int(self.token_starts[shard])
        return base + first, base + stop

    def spans(self, first: int = 0, stop: int | None = None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(firsts, stops): addresses of the targets of documents first … stop-1."""
        stop = self.document_count if stop is None else stop
        firsts, stops = np.empty(stop - first, np.int64), np.empty(stop - first, np.int64)
        for number, shard in enumerate(self.shards):
            begin, base = int(self.document_starts[number]), int(self.token_starts[number])
            low, high = max(first, begin) - begin, min(stop, int(self.document_starts[number + 1])) - begin
            if low >= high:
                continue
            shard.documents.check(max(low - 1, 0), high)
            ends = shard.documents.array
            out = slice(begin + low - first, begin + high - first)
            stops[out] = ends[low:high]
            firsts[out][1:] = ends[low : high - 1]
            firsts[out][0] = ends[low - 1] if low else FIRST_ITEM
            firsts[out] += base
            stops[out] += base
        return firsts, stops

    def lengths(self, first: int = 0, stop: int | None = None) -> NDArray[np.int64]:
        """Tokens of documents first … stop-1, closing <endoftext> included."""
        firsts, stops = self.spans(first, stop)
        return stops - firsts

    def length_blocks(self, documents: int = _DOCUMENTS_PER_BLOCK) -> Iterator[NDArray[np.int64]]:
        """`lengths` of all documents, a block at a time, for stores whose documents do not fit in memory."""
        for first in range(0, self.document_count, documents):
            yield self.lengths(first, min(first + documents, self.document_count))

    def tokens(self, first: int, stop: int) -> NDArray[Any]:
        """The items at addresses first … stop-1, of one shard, checked: a view, not a copy."""
        shard = int(np.searchsorted(self.token_starts, first, "right")) - 1
        if not 0 <= first <= stop <= self.address_count or (stop > first and stop > int(self.token_starts[shard + 1])):
            raise InputError(f"addresses {first:,} to {stop:,} do not lie in one shard of the {self.name} split")
        file, base = self.shards[min(shard, len(self.shards) - 1)].tokens, int(self.token_starts[shard])
        file.check(first - base, stop - base)
        return file.array[first - base : stop - base]


@dataclass(frozen=True, kw_only=True, eq=False)
class TokenStore:
    """An opened store."""

    directory: Path
    manifest: StoreManifest
    splits: dict[str, StoreSplit]

    @classmethod
    def open(cls, directory: Path | str) -> "TokenStore":
        """Check the manifest, the side files, and the header, size and seal of every shard file.

        Raises InputError (no store there), CorruptDataError (anything damaged, missing or exchanged, named with its
        numbers).
        """
        directory = Path(directory)
        manifest = StoreManifest.open(directory)
        if INPUTS not in manifest.files:
            raise CorruptDataError(f"the manifest does not list {INPUTS}", where=str(directory / MANIFEST))
        for name, entry in manifest.files.items():
            _check_size(directory / name, entry.bytes)
        splits: dict[str, StoreSplit] = {}
        for split in SPLITS:
            entries = manifest.of_split(split)
            for entry in entries:
                for kind, file in entry.files.items():
                    _check_size(directory / f"{entry.name}.{kind}", file.bytes)
            shards = tuple(Shard.open(directory, entry, np.dtype(manifest.dtype)) for entry in entries)
            splits[split] = StoreSplit.of(split, shards, manifest.counts(split))
        return cls(directory=directory, manifest=manifest, splits=splits)

    @property
    def fingerprint(self) -> str:
        return self.manifest.fingerprint

    @property
    def eot_id(self) -> int:
        return self.manifest.eot_id

    @property
    def vocabulary_size(self) -> int:
        return self.manifest.vocabulary_size

    @property
    def tokenizer_hash(self) -> str:
        """Equal hash, equal ids for every text."""
        return str(self.manifest.tokenizer["hash"])

    @property
    def document_count(self) -> int:
        return self.manifest.counts().documents

    @property
    def token_count(self) -> int:
        return self.manifest.counts().tokens

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer the store was written with, from its own copy of the vocabulary; ids imported without one are
        shown as numbers."""
        if TOKENIZER not in self.manifest.files:
            return UnknownVocabulary(vocabulary_size=self.vocabulary_size, eot_id=self.eot_id)
        path = self.directory / TOKENIZER
        if sha256_file(path) != self.manifest.files[TOKENIZER].sha256:
            raise CorruptDataError("the store's tokenizer is not the one it was written with", where=str(path))
        return open_tokenizer(path, engine="tokenizers", eot_token=self.manifest.tokenizer["eot_token"])

    @cached_property
    def inputs(self) -> tuple[dict[str, Any], ...]:
        """The input files, in the order of `provenance.file`: source, path, bytes, xxh3."""
        path = self.directory / INPUTS
        if sha256_file(path) != self.manifest.files[INPUTS].sha256:
            raise CorruptDataError("the list of input files is not the one that was written", where=str(path))
        with translated(path), path.open("rb") as lines:
            return tuple(orjson.loads(line) for line in lines)

    def split(self, name: str) -> StoreSplit:
        """A split by name. Raises InputError with the nearest name."""
        if name not in self.splits:
            meant = nearest(name, self.splits)
            raise InputError(
                f"there is no split {name!r}; a store has {' and '.join(self.splits)}",
                where=str(self.directory),
                remedy=None if meant is None else f"--split {meant}",
            )
        return self.splits[name]

    def document_lengths(self, split: str = "train") -> NDArray[np.int64]:
        """Tokens of every document of a split, closing <endoftext> included (8 bytes per document; in blocks:
        `length_blocks`).
        """
        return self.split(split).lengths()

    def ids_of(self, split: str, document: int) -> NDArray[Any]:
        """A document's ids, closing <endoftext> included."""
        view = self.split(split)
        return view.tokens(*view.span(document))

    def text_of(self, split: str, document: int) -> str:
        """A document's cleaned text, decoded from its ids; of one that was cut for filling in, in its order again."""
        ids = self.ids_of(split, document)[:-1]
        cut = self.provenance(split, document).flags & DocumentFlag.INFILLED
        return self.tokenizer.decode(restored(self.tokenizer, ids) if cut else ids)

    def provenance(self, split: str, document: int) -> Origin:
        """Where a document came from."""
        view = self.split(split)
        shard, local = view.locate(document)
        file = view.shards[shard].provenance
        file.check(local, local + 1)
        record = file.array[local]
        return Origin(
            id=record["id"].tobytes().hex(),
            source=cast(str, self.manifest.sources[int(record["source"])]["name"]),
            path=self.inputs[int(record["file"])]["path"],
            offset=int(record["offset"]),
            text_bytes=int(record["text_bytes"]),
            flags=int(record["flags"]),
            copy=int(record["copy"]),
        )


def _check_size(path: Path, expected: int) -> None:
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        raise CorruptDataError(
            "a file of the store is missing",
            where=str(path),
            remedy="restore it from a copy, or prepare the store again",
        ) from None
    if size != expected:
        raise CorruptDataError(f"the file is {size:,} bytes long, the manifest says {expected:,}", where=str(path))
