"""Phase 3 of a store: the documents that stay are laid into shards, split by split, in the order of (source, path,
offset).

    partials   [d d x d] [d x d d]     x dropped, ends and ids rebased
    shards     ␃ d␃ d␃ d␃ | ␃ d␃ d␃ d␃   cut before the document that would pass `shard_tokens`, never inside one

Guarantee: where a shard begins depends on the documents before it alone, so bytes do not depend on partitions, workers
or crashes. Price: every id is copied once (memory speed); peak disk is twice the store, because partials go only when
it is finished.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from batchwright.foundation.array_file import ArrayFile, ArrayFileWriter
from batchwright.foundation.execution import Manifest, Task
from batchwright.tokens.manifest import SHARD_FILES, SPLITS, FileEntry, ShardEntry
from batchwright.tokens.selection import FATE_OF_SPLIT, FATES, Partial, fates_by_partial
from batchwright.tokens.shard import ENDS_DTYPE, FIRST_ITEM, PROVENANCE, SIGNATURES_DTYPE, describe

FUNCTION = "batchwright.tokens.assembly:write_shard"
_JOINED_ITEMS = 1 << 17

Piece = tuple[str, int, int, int]
"""(partial, first document, stop, place of the partial's first document among the fates)."""


def plan_shards(
    work: Path, partials: Sequence[Partial], fates: ArrayFile, split: str, shard_tokens: int
) -> list[list[Piece]]:
    """Which documents of which partials each shard of a split is made of."""
    shards: list[list[Piece]] = []
    filled, place = 0, 0
    for partial, of_partial in fates_by_partial(fates, partials):
        kept = np.flatnonzero(of_partial == FATE_OF_SPLIT[split])
        ends = partial.open(work, "documents").array
        cumulated = np.cumsum(np.diff(ends, prepend=0)[kept], dtype=np.int64)
        first = 0
        while first < kept.shape[0]:
            before = int(cumulated[first - 1]) if first else 0
            stop = int(np.searchsorted(cumulated, before + shard_tokens - filled, "right")) if shards else first
            if stop <= first:
                # Nothing more fits: a new shard, which takes its first document whatever its length.
                shards.append([])
                filled = 0
                stop = max(first + 1, int(np.searchsorted(cumulated, before + shard_tokens, "right")))
            shards[-1].append((partial.key, int(kept[first]), int(kept[stop - 1]) + 1, place))
            filled += int(cumulated[stop - 1]) - before
            first = stop
        place += partial.documents
    return shards


def shard_task(
    pieces: Sequence[Piece],
    split: str,
    work: Path,
    fates: ArrayFile,
    eot_id: int,
    dtype: np.dtype[Any],
    permutations: int,
) -> Task:
    """The task that writes one shard."""
    parameters = {"pieces": [list(piece) for piece in pieces], "fates": fates.path.name, "split": split}
    parameters |= {"eot_id": eot_id, "dtype": dtype.str, "permutations": permutations}
    return Task(function=FUNCTION, parameters=parameters, context={"work": str(work)}, output=str(work))


def write_shard(parameters: Mapping[str, Any], prefix: Path) -> Manifest:
    """The task: copy the documents that stay into PREFIX.tokens, .documents, .provenance and, where there are
    `permutations`, .signatures.
    """
    work, dtype = Path(parameters["work"]), np.dtype(parameters["dtype"])
    fates = ArrayFile.open(work / parameters["fates"], FATES, "<u1")
    permutations: int = parameters["permutations"]
    items = {"tokens": dtype, "documents": ENDS_DTYPE, "provenance": PROVENANCE}
    items |= {"signatures": SIGNATURES_DTYPE} if permutations else {}
    paths = {kind: prefix.with_name(f"{prefix.name}.{kind}") for kind in items}
    text_bytes = 0
    with ExitStack() as stack:
        writers = {kind: stack.enter_context(ArrayFileWriter(paths[kind], kind, item)) for kind, item in items.items()}
        tokens, documents, provenance = (writers[kind] for kind in SHARD_FILES)
        tokens.append(np.array([parameters["eot_id"]], dtype))
        for key, first, stop, place in parameters["pieces"]:
            partial = Partial(key=key, documents=0, tokens=0, text_bytes=0)
            fates.check(place + first, place + stop)
            chosen = first + np.flatnonzero(
                fates.array[place + first : place + stop] == FATE_OF_SPLIT[parameters["split"]]
            )
            ends = partial.open(work, "documents").array
            starts = np.concatenate([np.zeros(1, np.int64), ends[:-1]])
            documents.append(tokens.count + np.cumsum((ends - starts)[chosen], dtype=np.int64))
            for part in _runs(partial.open(work, "tokens").array, starts, ends, chosen):
                tokens.append(part)
            records = np.ascontiguousarray(partial.open(work, "provenance").array[chosen])
            provenance.append(records)
            if permutations:
                signatures = partial.open(work, "signatures").array.reshape(-1, permutations)
                writers["signatures"].append(signatures[chosen].reshape(-1))
            text_bytes += int(records["text_bytes"].sum(dtype=np.int64))
        counts = {"documents": documents.count, "tokens": tokens.count - FIRST_ITEM, "text_bytes": text_bytes}
    return {**counts, "files": {kind: asdict(describe(path, kind)) for kind, path in paths.items()}}


def _runs(
    tokens: NDArray[Any], starts: NDArray[np.int64], ends: NDArray[np.int64], chosen: NDArray[np.int64]
) -> Iterator[NDArray[Any]]:
    """The ids of the chosen documents, neighbours together, small runs joined."""
    breaks = np.flatnonzero(np.diff(chosen) != 1)
    heads = starts[chosen[np.concatenate([np.zeros(1, np.int64), breaks + 1])]].tolist()
    tails = ends[chosen[np.concatenate([breaks, np.array([chosen.shape[0] - 1])])]].tolist()
    group: list[NDArray[Any]] = []
    items = 0
    for head, tail in zip(heads, tails, strict=True):
        group.append(tokens[head:tail])
        items += tail - head
        if items >= _JOINED_ITEMS:
            yield _join(group)
            group, items = [], 0
    if group:
        yield _join(group)


def _join(group: list[NDArray[Any]]) -> NDArray[Any]:
    return group[0] if len(group) == 1 else np.concatenate(group)


def shard_entry(number: int, split: str, manifest: Manifest) -> ShardEntry:
    """The store manifest's entry of a finished shard task."""
    return ShardEntry(
        name=shard_name(number),
        split=split,
        documents=manifest["documents"],
        tokens=manifest["tokens"],
        text_bytes=manifest["text_bytes"],
        files={kind: FileEntry(**file) for kind, file in manifest["files"].items()},
    )


def shard_name(number: int) -> str:
    """00000, 00001 …; six digits after 99999."""
    return f"{number:05d}"


def shard_tasks(
    work: Path,
    partials: Sequence[Partial],
    fates: ArrayFile,
    shard_tokens: int,
    eot_id: int,
    dtype: np.dtype[Any],
    permutations: int = 0,
) -> list[tuple[str, Task]]:
    """(split, task) of every shard, in the order of their numbers: all of train, then all of validation."""
    return [
        (split, shard_task(pieces, split, work, fates, eot_id, dtype, permutations))
        for split in SPLITS
        for pieces in plan_shards(work, partials, fates, split, shard_tokens)
    ]
