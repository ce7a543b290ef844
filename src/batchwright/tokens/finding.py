"""Documents by name: by the 128-bit id of their text, by number, by the file they came from.

Guarantee: what is found is what the provenance says, checked against its checksums. Price: a number costs nothing; a
file a binary search, since documents stand in the order of (source, path, offset); an id reads the provenance of the
whole split, 40 bytes a document (~0.25 CPU-s per 10⁸ in the page cache, and once per process as much for checksums).
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from batchwright.foundation.compiled import hot_loop
from batchwright.foundation.errors import InputError, nearest
from batchwright.tokens.shard import PROVENANCE
from batchwright.tokens.store import StoreSplit, TokenStore

_ID = re.compile(r"[0-9a-fA-F]{32}")
_NUMBER = re.compile(r"[0-9]{1,3}(,?[0-9]{3})*|[0-9]+")
_WORDS = PROVENANCE.itemsize // 8
_MOST_NAMED = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class FileDocuments:
    """Documents [first, stop) of a split came from one input file."""

    path: str
    source: str
    first: int
    stop: int


def find_document(store: TokenStore, split: str, name: str) -> int:
    """The number of the document that `name` means: 32 hexadecimal digits (its id), a number, or a path of the input,
    PATH@OFFSET for the document that begins at or last before that byte (of parquet: row).

    Raises InputError naming what is nearest.
    """
    view = store.split(split)
    if _ID.fullmatch(name):
        return _by_id(store, view, name.lower())
    if _NUMBER.fullmatch(name):
        number = int(name.replace(",", ""))
        view.locate(number)
        return number
    return _by_place(store, view, name)


def documents_with_id(view: StoreSplit, document_id: str) -> list[int]:
    """Numbers of the documents whose text has this id; more than one only where repetitions were kept."""
    wanted = np.frombuffer(bytes.fromhex(document_id), "<u8")
    out = np.empty(16, np.int64)
    numbers: list[int] = []
    for first, shard in zip(view.document_starts.tolist(), view.shards, strict=False):
        records = shard.provenance
        records.check(0, records.count)
        words = records.array.view("<u8").reshape(-1, _WORDS)
        found = scan_ids(words, wanted[0], wanted[1], out)
        if found > out.shape[0]:
            out = np.empty(found, np.int64)
            scan_ids(words, wanted[0], wanted[1], out)
        numbers += (first + out[:found]).tolist()
    return numbers


def documents_of_file(store: TokenStore, view: StoreSplit, file: int) -> FileDocuments:
    """The documents of one line of `store.inputs`; none (first = stop) where all were dropped or are in the other
    split."""
    place = store.inputs[file]
    numbers = range(view.document_count)
    file_of = _reader(view, "file")
    return FileDocuments(
        path=place["path"],
        source=place["source"],
        first=bisect_left(numbers, file, key=file_of),
        stop=bisect_right(numbers, file, key=file_of),
    )


def _by_id(store: TokenStore, view: StoreSplit, document_id: str) -> int:
    found = documents_with_id(view, document_id)
    if found:
        return found[0]
    elsewhere = [
        name for name in store.splits if name != view.name and documents_with_id(store.split(name), document_id)
    ]
    raise InputError(
        f"no document of the {view.name} split has the id {document_id}",
        where=str(store.directory),
        remedy=f"--split {elsewhere[0]}" if elsewhere else "ids are those of this store's cleaned texts",
    )


def _by_place(store: TokenStore, view: StoreSplit, name: str) -> int:
    files, offset = _files_named(store, name), 0
    if not files:
        path, _, digits = name.rpartition("@")
        if path and digits.replace(",", "").isdigit():
            files, offset = _files_named(store, path), int(digits.replace(",", ""))
    if not files:
        near = nearest(name, [place["path"] for place in store.inputs])
        raise InputError(
            f"no document is named {name!r}: it is no number, no id of 32 hexadecimal digits and no file of this store",
            where=str(store.directory),
            remedy=f"did you mean {near}?" if near else "show prints the files of a batch's documents",
        )
    if len(files) > 1:
        paths = [f"{store.inputs[file]['source']}: {store.inputs[file]['path']}" for file in files[:_MOST_NAMED]]
        raise InputError(
            f"{len(files)} files are named {name!r}", where="; ".join(paths), remedy="give more of the path"
        )
    return _at(view, documents_of_file(store, view, files[0]), offset)


def _at(view: StoreSplit, held: FileDocuments, offset: int) -> int:
    """The last of these documents that begins at or before the offset; with offset 0 the first."""
    if held.first == held.stop:
        raise InputError(
            f"no document of {held.path} is in the {view.name} split",
            remedy="look into the other split (--split), or into the tally of what was dropped: manifest.json",
        )
    offset_of = _reader(view, "offset")
    number = bisect_right(range(held.first, held.stop), offset, key=offset_of) + held.first - 1
    if number < held.first and offset:
        raise InputError(
            f"the first document of {held.path} in the {view.name} split begins at {offset_of(held.first):,}, "
            f"after {offset:,}"
        )
    return max(number, held.first)


def _files_named(store: TokenStore, name: str) -> list[int]:
    """Lines of `store.inputs` with exactly this path; if none, those one of which ends with the other."""
    name = name.removeprefix("./")
    paths = [place["path"] for place in store.inputs]
    exact = [file for file, path in enumerate(paths) if path == name]
    ending = [file for file, path in enumerate(paths) if path.endswith(f"/{name}") or name.endswith(f"/{path}")]
    return exact or ending


def _reader(view: StoreSplit, column: str) -> Callable[[int], int]:
    """number of a document → one column of its provenance, checked."""

    def read(document: int) -> int:
        shard, local = view.locate(document)
        records = view.shards[shard].provenance
        records.check(local, local + 1)
        return int(records.array[column][local])

    return read


@hot_loop
def scan_ids(words: NDArray[np.uint64], first: np.uint64, second: np.uint64, out: NDArray[np.int64]) -> int:
    found = 0
    for i in range(words.shape[0]):
        if words[i, 0] == first and words[i, 1] == second:
            if found < out.shape[0]:
                out[found] = i
            found += 1
    return found
