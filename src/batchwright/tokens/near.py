"""Near-duplicates of a store: found by tasks, over all partitions, in bounded memory.

    tokenize   KEY.signatures   (with the tokens)   KEY.bands   runs of band rows, each sorted by key
    compare    one task per range of keys, over all partitions' bands          KEY.edges
    join       one task, over all edges                                        KEY.roots

Documents are numbered over all parts (partitions, or shards of another store), in global order. Guarantee: the roots
depend on the documents' texts and order and on the settings: not on partitions, ranges, workers or crashes. Price:
`python -m benchmarks.near_duplicates memory`; a compare task holds about RANGE_ROWS rows and COMPARED_ROWS signatures.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from batchwright.documents.clusters import BAND_ROW, EDGE, band_rows, edges_of, roots_of
from batchwright.documents.near_duplicates import NearDuplicates
from batchwright.documents.signatures import signatures_of
from batchwright.foundation.array_file import ArrayFile, ArrayFileWriter
from batchwright.foundation.errors import CorruptDataError
from batchwright.foundation.execution import Executor, Manifest, Task
from batchwright.tokens.shard import seal_of

COMPARE = "batchwright.tokens.near:compare_range"
JOIN = "batchwright.tokens.near:join_edges"
WRITE_BANDS = "batchwright.tokens.near:write_bands"
SIGNATURES, BANDS, EDGES, ROOTS = "signatures", "bands", "edges", "roots"
RUN_ROWS = 2**20  # 12 MiB, sorted at once
RANGE_ROWS = 2**21  # 48 MiB as keys and documents, thrice that while they are sorted


class SignatureWriter:
    """The signatures and band rows of a sequence of texts, as PREFIX.signatures and PREFIX.bands."""

    def __init__(self, prefix: Path, settings: NearDuplicates) -> None:
        self._settings = settings
        self._signatures = ArrayFileWriter(prefix.with_name(f"{prefix.name}.{SIGNATURES}"), SIGNATURES, "<u4")
        self._bands = BandWriter(prefix, settings)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self._signatures)
            stack.enter_context(self._bands)
            self._open = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, traceback)

    def append(self, texts: Sequence[bytes]) -> None:
        signatures = signatures_of(texts, self._settings)
        self._signatures.append(signatures.reshape(-1))
        self._bands.append(signatures)


class BandWriter:
    """Band rows as PREFIX.bands: runs of RUN_ROWS rows, the last one shorter, each sorted by (key, document)."""

    def __init__(self, prefix: Path, settings: NearDuplicates) -> None:
        self._settings = settings
        self._writer = ArrayFileWriter(prefix.with_name(f"{prefix.name}.{BANDS}"), BANDS, BAND_ROW)
        self._run = np.empty(RUN_ROWS, BAND_ROW)
        self._filled = self._documents = 0

    def __enter__(self) -> Self:
        self._writer.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if kind is None and self._filled:
                self._end_run()
        except BaseException as failure:
            self._writer.__exit__(type(failure), failure, failure.__traceback__)
            raise
        self._writer.__exit__(kind, error, traceback)

    def append(self, signatures: NDArray[np.uint32]) -> None:
        rows = band_rows(signatures, self._documents, self._settings)
        self._documents += len(signatures)
        while len(rows):
            part = rows[: RUN_ROWS - self._filled]
            self._run[self._filled : self._filled + len(part)] = part
            self._filled += len(part)
            rows = rows[len(part) :]
            if self._filled == RUN_ROWS:
                self._end_run()

    def _end_run(self) -> None:
        run = self._run[: self._filled]
        self._writer.append(run[np.argsort(run["key"], kind="stable")])
        self._filled = 0


def write_bands(parameters: Mapping[str, Any], prefix: Path) -> Manifest:
    """The task: write PREFIX.bands of signatures that are there already, a shard's."""
    settings = NearDuplicates.from_json(parameters["settings"])
    file = ArrayFile.open(Path(parameters[SIGNATURES]), SIGNATURES, "<u4")
    if seal_of(file) != parameters["seal"]:
        raise CorruptDataError("the file is not the one that the manifest lists", where=str(file.path))
    file.verify()
    signatures = file.array.reshape(-1, settings.permutations)
    with BandWriter(prefix, settings) as bands:
        for first in range(0, len(signatures), RUN_ROWS // settings.bands + 1):
            bands.append(signatures[first : first + RUN_ROWS // settings.bands + 1])
    return {}


@dataclass(frozen=True, kw_only=True)
class Part:
    """Some documents: a name made from their content, how many, and where their signatures and bands lie."""

    name: str
    documents: int
    signatures: Path
    bands: Path


def find_roots(executor: Executor, work: Path, parts: Sequence[Part], settings: NearDuplicates) -> ArrayFile:
    """The earliest document of every document's cluster, as a file of numbers over all parts."""
    tasks = _compare_tasks(work, parts, settings)
    for _ in executor.run(tasks):
        pass
    edges = [task.key for task in tasks]
    parameters = {"edges": edges, "documents": sum(part.documents for part in parts)}
    join = Task(function=JOIN, parameters=parameters, context={"work": str(work)}, output=str(work))
    for _ in executor.run([join]):
        pass
    roots = ArrayFile.open(join.prefix.with_name(f"{join.key}.{ROOTS}"), ROOTS, "<i8")
    roots.verify()
    return roots


def _compare_tasks(work: Path, parts: Sequence[Part], settings: NearDuplicates) -> list[Task]:
    """One task per range of keys: as many as keep the rows of a range at about RANGE_ROWS."""
    rows = sum(part.documents for part in parts) * settings.bands
    ranges = max(1, -(-rows // RANGE_ROWS))
    shared: dict[str, Any] = {
        "parts": [[part.name, part.documents] for part in parts],
        "settings": settings.to_json(),
        "ranges": ranges,
    }
    context: dict[str, Any] = {
        SIGNATURES: [str(part.signatures) for part in parts],
        BANDS: [str(part.bands) for part in parts],
    }
    return [
        Task(function=COMPARE, parameters={**shared, "range": number}, context=context, output=str(work))
        for number in range(ranges)
    ]


def compare_range(parameters: Mapping[str, Any], prefix: Path) -> Manifest:
    """The task: write PREFIX.edges, between documents that share a key of the range and are similar enough."""
    settings = NearDuplicates.from_json(parameters["settings"])
    starts = np.cumsum([0, *(documents for _, documents in parameters["parts"])])
    low, high = (2**64 * number // parameters["ranges"] for number in (parameters["range"], parameters["range"] + 1))
    keys: list[NDArray[np.uint64]] = []
    documents: list[NDArray[np.int64]] = []
    for path, start in zip(parameters[BANDS], starts[:-1].tolist(), strict=True):
        for rows in _rows_between(ArrayFile.open(Path(path), BANDS, BAND_ROW), low, high):
            keys.append(rows["key"].copy())
            documents.append(rows["document"].astype(np.int64) + start)

    def gather(wanted: NDArray[np.int64]) -> NDArray[np.uint32]:
        return _gather(parameters[SIGNATURES], starts, settings.permutations, wanted)

    all_keys = np.concatenate([*keys, np.empty(0, np.uint64)])
    all_documents = np.concatenate([*documents, np.empty(0, np.int64)])
    keys.clear()
    documents.clear()
    edges = edges_of(all_keys, all_documents, gather, settings)
    with ArrayFileWriter(prefix.with_name(f"{prefix.name}.{EDGES}"), EDGES, EDGE) as writer:
        writer.append(edges)
    return {"rows": len(all_keys), "edges": len(edges)}


def _rows_between(bands: ArrayFile, low: int, high: int) -> Iterator[NDArray[Any]]:
    """The rows with low ≤ key < high of every run, checked."""
    keys = bands.array["key"]
    for first in range(0, bands.count, RUN_ROWS):
        run = range(first, min(first + RUN_ROWS, bands.count))
        begin, stop = (first + bisect_left(run, bound, key=lambda row: int(keys[row])) for bound in (low, high))
        bands.check(begin, stop)
        yield bands.array[begin:stop]


def _gather(
    paths: Sequence[str], starts: NDArray[np.int64], permutations: int, wanted: NDArray[np.int64]
) -> NDArray[np.uint32]:
    """The signatures of ascending document numbers. Files are opened in turn: pages held and files open stay few."""
    out = np.empty((len(wanted), permutations), np.uint32)
    bounds = np.searchsorted(wanted, starts).tolist()
    for number, path in enumerate(paths):
        first, stop = bounds[number], bounds[number + 1]
        if first < stop:
            file = ArrayFile.open(Path(path), SIGNATURES, "<u4")
            local = wanted[first:stop] - starts[number]
            file.check(int(local[0]) * permutations, (int(local[-1]) + 1) * permutations)
            out[first:stop] = file.array.reshape(-1, permutations)[local]
    return out


def join_edges(parameters: Mapping[str, Any], prefix: Path) -> Manifest:
    """The task: write PREFIX.roots, the earliest document of every document's cluster."""
    work = Path(parameters["work"])

    def verified(key: str) -> NDArray[Any]:
        file = ArrayFile.open(work / f"{key}.{EDGES}", EDGES, EDGE)
        file.verify()
        return file.array

    roots = roots_of(parameters["documents"], map(verified, parameters["edges"]))
    with ArrayFileWriter(prefix.with_name(f"{prefix.name}.{ROOTS}"), ROOTS, "<i8") as writer:
        writer.append(roots)
    return {"clusters": int(np.count_nonzero(roots == np.arange(len(roots))))}
