"""Exact deduplication: the first document of each text is kept, in the global order (source, path, offset).

A document's id is the xxh3_128 of its cleaned UTF-8 bytes. `keep_first` sees only ids, 16 bytes each, in global order:

    ids      A B A | C B A        two runs of 3, each sorted: A0 B1 (A2 repeats A0) | A5 B4 C3
    buckets  A: 0, 5  B: 1, 4  C: 3    by the leading bits, over all runs; all but the lowest index fall
    kept     1 1 0   1 0 0

Guarantee: the same bitmap as a set that remembers everything it saw (the twin in the tests), whatever the chunks are.
Price: one bit per document plus ~110 bytes × `run_documents` in memory; 24 bytes on disk per distinct document of a
run; 0.8 µs per document. Two different texts with one id: at 10¹⁰ documents the chance is 10⁻¹⁹.
"""

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import xxhash
from numpy.typing import NDArray

from batchwright.foundation.files import translated

ID_BYTES = 16
RUN_DOCUMENTS = 2**20  # 24 MiB of records, ~110 MiB at the peak of sorting
_RECORD = np.dtype([("high", "<u8"), ("low", "<u8"), ("index", "<i8")])


def document_id(utf8: bytes) -> bytes:
    """The 16 bytes that name a text: xxh3_128, big-endian as its hexadecimal form reads."""
    return xxhash.xxh3_128_digest(utf8)


def ids_to_pairs(ids: bytes | NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Ids laid end to end as an (n, 2) uint64 array (high half, low half)."""
    return np.frombuffer(ids, ">u8").reshape(-1, 2).astype(np.uint64)


@dataclass(frozen=True, slots=True)
class KeptBitmap:
    """One bit per document, in global order: kept or not."""

    documents: int
    bits: NDArray[np.uint8]

    def range(self, first: int, stop: int) -> NDArray[np.bool_]:
        """(stop − first,) bool: which of the documents [first, stop) are kept."""
        if not 0 <= first <= stop <= self.documents:
            raise IndexError(f"documents [{first}, {stop}) of {self.documents}")
        bits = np.unpackbits(self.bits[first // 8 : -(-stop // 8)], bitorder="little")
        return bits[first % 8 : first % 8 + stop - first].astype(np.bool_)

    @property
    def kept(self) -> int:
        """How many documents are kept."""
        return int(np.bitwise_count(self.bits).sum(dtype=np.int64))


def keep_first(
    chunks: Iterable[NDArray[np.uint64]], *, scratch: Path | None = None, run_documents: int = RUN_DOCUMENTS
) -> KeptBitmap:
    """Which documents are the first of their text.

    chunks: (n, 2) uint64 ids in global order (`ids_to_pairs`), cut anywhere.
    scratch: directory for the sorted runs, which a crash leaves behind no more than a clean end; None: the system's.
    """
    bits = np.empty(0, np.uint8)
    documents = 0
    place = scratch or Path(tempfile.gettempdir())
    with translated(place), tempfile.TemporaryFile(dir=place) as spill:
        runs = _SortedRuns(spill)
        for records in _runs_of(chunks, run_documents):
            documents += len(records)
            bits = np.append(bits, np.full(-(-documents // 8) - len(bits), 0xFF, np.uint8))
            distinct, repeats = _first_of_each(records)
            _clear(bits, repeats)
            runs.append(distinct)
        for bucket in runs.buckets(run_documents):
            _clear(bits, _first_of_each(bucket)[1])
    if documents % 8:
        bits[-1] &= (1 << documents % 8) - 1
    return KeptBitmap(documents, bits)


def _runs_of(chunks: Iterable[NDArray[np.uint64]], run_documents: int) -> Iterator[NDArray[np.void]]:
    """Records (id, index) in arrays of at most `run_documents`, in order."""
    run = np.empty(run_documents, _RECORD)
    filled = index = 0
    for chunk in chunks:
        ids = chunk
        while len(ids):
            count = min(len(ids), run_documents - filled)
            part = run[filled : filled + count]
            part["high"], part["low"] = ids[:count, 0], ids[:count, 1]
            part["index"] = np.arange(index, index + count)
            filled, index, ids = filled + count, index + count, ids[count:]
            if filled == run_documents:
                yield run
                filled = 0
    if filled:
        yield run[:filled]


def _first_of_each(records: NDArray[np.void]) -> tuple[NDArray[np.void], NDArray[np.int64]]:
    """(records with distinct ids, sorted by id; indexes of the records that repeat an earlier one)."""
    # lexsort is stable: of equal ids the one that came first stays first.
    ordered = records[np.lexsort((records["low"], records["high"]))]
    again = np.zeros(len(ordered), np.bool_)
    again[1:] = (ordered["high"][1:] == ordered["high"][:-1]) & (ordered["low"][1:] == ordered["low"][:-1])
    return ordered[~again], ordered["index"][again]


def _clear(bits: NDArray[np.uint8], documents: NDArray[np.int64]) -> None:
    np.bitwise_and.at(bits, documents >> 3, ~np.left_shift(np.uint8(1), (documents & 7).astype(np.uint8)))


class _SortedRuns:
    """Runs of records sorted by id, end to end in one file; read back by ranges of ids over all runs at once."""

    # Where each of 4,096 equal ranges of ids begins in a run is remembered: 32 KiB per run.
    _CUTS = np.arange(4096, dtype=np.uint64) << np.uint64(52)

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._starts: list[NDArray[np.int64]] = []
        self._end = 0

    def append(self, run: NDArray[np.void]) -> None:
        self._file.write(run.tobytes())
        starts = np.append(np.searchsorted(run["high"], self._CUTS), len(run)).astype(np.int64)
        self._starts.append(self._end + starts)
        self._end += len(run)

    def buckets(self, limit: int) -> Iterator[NDArray[np.void]]:
        """All records of one range of ids after another, at most about `limit` at once, in the order of the runs."""
        if len(self._starts) < 2:
            return  # one run is already free of repeats
        self._file.flush()
        sizes = np.diff(np.stack(self._starts)).sum(axis=0)  # records in each of the 4,096 ranges
        first = 0
        while first < len(sizes):
            stop = first + max(1, int(np.searchsorted(np.cumsum(sizes[first:]), limit, side="right")))
            yield np.concatenate([self._read(starts[first], starts[stop]) for starts in self._starts])
            first = stop

    def _read(self, start: np.int64, stop: np.int64) -> NDArray[np.void]:
        self._file.seek(int(start) * _RECORD.itemsize)
        return np.frombuffer(self._file.read(int(stop - start) * _RECORD.itemsize), _RECORD)
