"""Megatron's `.bin` and `.idx`: ids end to end, and an index that says where sequences and documents lie.

    PREFIX.bin   ids of the dtype that the index names, sequence after sequence
    PREFIX.idx   little-endian:
        0  "MMIDIDX" and two zero bytes     18  number of sequences S, u8
        9  version 1, u8                    26  number of document indices D + 1, u8
       17  code of the dtype, u1            34  lengths in ids, S × i4; byte offsets in .bin, S × i8;
                                                document indices, (D + 1) × i8: document d is sequences [d, d+1)

Guarantee: written, a sequence is a document closed by <endoftext> (Megatron's `--append-eod`), uint16 below 65,536 ids
and else int32; read, an index that contradicts itself or its .bin is refused with its numbers. Price: 20 bytes of index
per document; ~0.5 G ids per CPU-second written, ~0.1 G imported; memory of one block.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from batchwright.adapters.id_files import blocks_of, found, mapped
from batchwright.adapters.stored_documents import stored_blocks
from batchwright.foundation.errors import CorruptDataError, InputError
from batchwright.foundation.files import AtomicFile, translated
from batchwright.tokens.id_blocks import GivenIds, IdBlock
from batchwright.tokens.store import StoreSplit, TokenStore

SUFFIX = ".idx"
_HEADER = struct.Struct("<9sQBQQ")
_MAGIC = b"MMIDIDX\0\0"
_VERSION = 1
_DTYPES = {1: "<u1", 2: "<i1", 3: "<i2", 4: "<i4", 5: "<i8", 8: "<u2"}
"""Megatron's codes; 6 and 7 are floats and hold no ids."""

_LONGEST = 2**31 - 1
_DOCUMENTS_AT_ONCE = 1 << 16


@dataclass(frozen=True, kw_only=True, eq=False)
class _Index:
    """An opened .idx: memory maps."""

    dtype: np.dtype[Any]
    lengths: NDArray[np.int32]
    pointers: NDArray[np.int64]
    documents: NDArray[np.int64]

    @classmethod
    def open(cls, path: Path) -> "_Index":
        """Raises InputError (not there, not an index of ids), CorruptDataError (it contradicts itself)."""
        with translated(path), path.open("rb") as file:
            head = file.read(_HEADER.size)
        if len(head) < _HEADER.size or not head.startswith(_MAGIC):
            raise InputError("this is no Megatron index (its first nine bytes are not MMIDIDX)", where=str(path))
        _, version, code, sequences, documents = _HEADER.unpack(head)
        if version != _VERSION:
            raise InputError(f"the index has version {version}, this batchwright reads version 1", where=str(path))
        if code not in _DTYPES:
            raise InputError(f"the index names the dtype {code}, which holds no ids", where=str(path))
        size, wanted = path.stat().st_size, _HEADER.size + 12 * sequences + 8 * documents
        if size != wanted:
            raise CorruptDataError(
                f"the index is {size:,} bytes long; {sequences:,} sequences and {documents:,} document indices need "
                f"{wanted:,} (a multimodal one, a byte per sequence more, is not read)",
                where=str(path),
            )
        lengths = mapped(path, "<i4", _HEADER.size, sequences)
        pointers = mapped(path, "<i8", _HEADER.size + 4 * sequences, sequences)
        indices = mapped(path, "<i8", _HEADER.size + 12 * sequences, documents)
        if documents < 1 or int(indices[0]) != 0 or int(indices[-1]) != sequences:
            raise CorruptDataError(f"the document indices do not go from 0 to {sequences:,}", where=str(path))
        return cls(dtype=np.dtype(_DTYPES[code]), lengths=lengths, pointers=pointers, documents=indices)


@dataclass(frozen=True, kw_only=True)
class MegatronFile:
    """A pair PREFIX.bin, PREFIX.idx."""

    prefix: Path

    @property
    def parts(self) -> Sequence[Path]:
        return tuple(self.prefix.with_name(self.prefix.name + suffix) for suffix in (".bin", ".idx"))

    def blocks(self, given: GivenIds) -> Iterator[IdBlock]:
        """The documents in the index's order; the sequences of a document are laid together."""
        binary, place = self.parts
        index = _Index.open(place)
        ids = mapped(binary, index.dtype)
        begin = 0
        for first in range(0, index.documents.shape[0] - 1, _DOCUMENTS_AT_ONCE):
            cuts = np.asarray(index.documents[first : first + _DOCUMENTS_AT_ONCE + 1])
            ends = self._ends(index, cuts, begin, place)
            if ends.shape[0] and int(ends[-1]) > ids.shape[0]:
                raise CorruptDataError(
                    f"the documents end at id {int(ends[-1]):,}, the file holds {ids.shape[0]:,}", where=str(binary)
                )
            yield from blocks_of(ids, begin, ends, first)
            begin = int(ends[-1])
        if begin != ids.shape[0]:
            raise CorruptDataError(
                f"the documents of the index end at id {begin:,}, the file holds {ids.shape[0]:,}", where=str(binary)
            )

    def _ends(self, index: _Index, cuts: NDArray[np.int64], begin: int, place: Path) -> NDArray[np.int64]:
        """Exclusive ends of documents whose sequences lie between the cuts."""
        if int(np.diff(cuts).min()) < 0:
            raise CorruptDataError("the document indices do not ascend", where=str(place))
        low, high = int(cuts[0]), int(cuts[-1])
        lengths = np.asarray(index.lengths[low:high]).astype(np.int64)
        bounds = begin + np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        pointers = np.asarray(index.pointers[low:high])
        if bool((lengths < 0).any()) or not np.array_equal(pointers, bounds[:-1] * index.dtype.itemsize):
            raise CorruptDataError("the sequences do not lie end to end in the .bin", where=str(place))
        return bounds[cuts[1:] - low]


def megatron_files(paths: Sequence[str]) -> list[MegatronFile]:
    """The pairs that paths mean: a prefix, either file of a pair, a directory, or a glob of .idx."""
    pairs = [path + SUFFIX if Path(path + SUFFIX).exists() else path for path in paths]
    prefixes = [path.with_suffix("") if path.suffix in (".bin", ".idx") else path for path in found(pairs, SUFFIX)]
    return [MegatronFile(prefix=prefix) for prefix in dict.fromkeys(prefixes)]


def export_megatron(store: TokenStore, split: StoreSplit, directory: Path) -> list[str]:
    """Write one split as SPLIT.bin and SPLIT.idx; the names of its files."""
    code = 8 if store.vocabulary_size <= 1 << 16 else 4
    dtype = np.dtype(_DTYPES[code])
    if store.vocabulary_size > _LONGEST:
        raise InputError(f"a vocabulary of {store.vocabulary_size:,} ids does not fit Megatron's int32")
    with AtomicFile(directory / f"{split.name}.bin") as file:
        for block in stored_blocks(split):
            file.write(_bytes(block.ids.astype(dtype, copy=False)))
    with AtomicFile(directory / f"{split.name}.idx") as file:
        count = split.document_count
        file.write(_HEADER.pack(_MAGIC, _VERSION, code, count, count + 1))
        for chunk in _index_chunks(split, dtype.itemsize):
            file.write(_bytes(chunk))
    return [f"{split.name}.bin", f"{split.name}.idx"]


def _index_chunks(split: StoreSplit, itemsize: int) -> Iterator[NDArray[Any]]:
    """Lengths, then byte offsets, then document indices: three passes over the ends, each in blocks."""
    done = 0
    for lengths in split.length_blocks():
        if int(lengths.max()) > _LONGEST:
            number = done + int(lengths.argmax())
            raise InputError(
                f"document {number:,} has {int(lengths.max()):,} tokens; Megatron counts a sequence in 31 bits",
                remedy="export to nanogpt, which knows no documents",
            )
        yield lengths.astype("<i4")
        done += lengths.shape[0]
    total = 0
    for lengths in split.length_blocks():
        ends = total + np.cumsum(lengths)
        yield ((ends - lengths) * itemsize).astype("<i8")
        total = int(ends[-1])
    for first in range(0, split.document_count + 1, _DOCUMENTS_AT_ONCE):
        yield np.arange(first, min(first + _DOCUMENTS_AT_ONCE, split.document_count + 1), dtype="<i8")


def _bytes(items: NDArray[Any]) -> memoryview:
    return np.ascontiguousarray(items).view(np.uint8).data
