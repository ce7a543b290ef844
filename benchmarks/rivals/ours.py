"""batchwright, steps and acknowledgement included, and the bound that any loader of such arrays has."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.rivals.contender import Stream, Variant
from benchmarks.rivals.corpus import EOT, VOCABULARY, Corpus, T

ENVIRONMENT = None  # the one that runs the benchmark
_SHARDS = 2
_ALL = "inputs, targets {}, loss mask bool, position ids int32, cu_seqlens int32"


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One shard's files, opened."""

    tokens: Any
    documents: Any


@dataclass(frozen=True, kw_only=True)
class Store:
    """A token store and its only split in one: what `StoredTokens` asks for."""

    directory: Path
    shards: tuple[Shard, ...]
    document_count: int
    token_count: int
    fingerprint: str = "benchmark"
    eot_id: int = EOT
    vocabulary_size: int = VOCABULARY

    def split(self, name: str) -> "Store":
        return self


def open_store(directory: Path) -> Store:
    """The store in a directory of numbered shards."""
    from batchwright.foundation.array_file import ArrayFile

    shards = tuple(
        Shard(
            tokens=ArrayFile.open(path, "tokens", "<u2"),
            documents=ArrayFile.open(path.with_suffix(".documents"), "documents", "<i8"),
        )
        for path in sorted(directory.glob("*.tokens"))
    )
    return Store(
        directory=directory,
        shards=shards,
        document_count=sum(shard.documents.count for shard in shards),
        token_count=sum(shard.tokens.count - 1 for shard in shards),
    )


def load_machine_code(directory: Path) -> None:
    """Every compiled loop on the way to a batch, called with no row at all: nothing of the data is touched."""
    from batchwright.batches.buffers import new_arrays
    from batchwright.batches.certificate import Certifier
    from batchwright.batches.collate import Collator
    from batchwright.foundation.permutation import KeyedPermutation
    from batchwright.sequences.index_build import build_index

    nothing, arrays = KeyedPermutation(size=1, key=0).forward_range(0, 0), new_arrays(1, T, np.int64)
    Collator(build_index(open_store(directory), sequence_length=T)).collate(arrays, nothing, nothing, 0)
    Certifier(T).certificate(arrays.inputs, arrays.targets, arrays.loss_mask, arrays.positions)


def convert(corpus: Corpus) -> None:
    """A store of two shards, and both sequence indexes."""
    from batchwright.foundation.array_file import ArrayFileWriter
    from batchwright.sequences.index_build import build_index
    from batchwright.sequences.packing import BestFit, Concatenate

    out, tokens, ends = corpus.converted("batchwright"), corpus.tokens, corpus.ends
    out.mkdir(exist_ok=True)
    cuts = [len(ends) * k // _SHARDS for k in range(_SHARDS + 1)]
    for number, (first, stop) in enumerate(pairwise(cuts)):
        path, begin = out / f"{number:05}.tokens", int(ends[first - 1]) if first else 0
        if path.with_suffix(".documents").exists():
            continue
        with ArrayFileWriter(path, "tokens", "<u2") as writer:
            writer.append(np.array([EOT], "<u2"))
            writer.append(np.asarray(tokens[begin : ends[stop - 1]]))
        with ArrayFileWriter(path.with_suffix(".documents"), "documents", "<i8") as writer:
            writer.append(1 + ends[first:stop] - begin)
    for packing in (Concatenate(), BestFit()):
        build_index(open_store(out), sequence_length=T, packing=packing)


def opened(corpus: Corpus, B: int, state: Any, packed: bool, dtype: Any, certify: bool, micro: int | None) -> Stream:
    from batchwright.batches.geometry import BatchGeometry
    from batchwright.batches.loader import BatchLoader
    from batchwright.sequences.index_build import build_index
    from batchwright.sequences.packing import BestFit, Concatenate
    from batchwright.sequences.plan import Plan

    packing = BestFit() if packed else Concatenate()
    index = build_index(open_store(corpus.converted("batchwright")), sequence_length=T, packing=packing)
    geometry = BatchGeometry(global_batch_size=B, micro_batch_size=micro or B, sequence_length=T)
    loader = BatchLoader(Plan.of(index), geometry, ids_dtype=dtype, certify=certify, ring=2)
    if state is not None:
        loader.restore(state)

    def batches() -> Iterator[Any]:
        for step in loader:
            for batch in step:
                assert batch.inputs.shape[1] == T
            yield step
            loader.acknowledge(step)

    return Stream(batches=batches(), state=loader.state)


def bound(corpus: Corpus, B: int, dtype: Any) -> Stream:
    """Contiguous ids into two arrays, inputs and targets, by two vectorised loops; no rows, no order, nothing else."""
    from batchwright.foundation.compiled import hot_loop

    @hot_loop
    def widen(source: Any, inputs: Any, targets: Any) -> None:
        for i in range(inputs.shape[0]):
            inputs[i] = source[i]
        for i in range(targets.shape[0]):
            targets[i] = source[i + 1]

    def batches() -> Iterator[Any]:
        tokens, first, size = np.asarray(corpus.tokens), 0, B * T
        ring = [(np.empty(size, dtype), np.empty(size, dtype)) for _ in range(2)]
        while True:
            for inputs, targets in ring:
                first = (first + size) % (len(tokens) - size - 1)
                widen(tokens[first : first + size + 1], inputs, targets)
                yield inputs

    return Stream(batches=batches())


def _loader(packed: bool, dtype: Any, certify: bool = False, micro: int | None = None) -> Variant:
    return Variant(
        produces=_ALL.format(np.dtype(dtype)) + (", certificate" if certify else ""),
        open=lambda corpus, B, state: opened(corpus, B, state, packed, dtype, certify, micro),
    )


VARIANTS = {
    f"bound: contiguous → {np.dtype(dtype)}": Variant(
        produces=f"inputs, targets {np.dtype(dtype)}",
        open=lambda corpus, B, state, dtype=dtype: bound(corpus, B, dtype),
        limit=str(np.dtype(dtype)),
    )
    for dtype in (np.int64, np.uint16)
} | {
    "batchwright fixed chunks → int64": _loader(False, np.int64),
    "batchwright fixed chunks → uint16": _loader(False, np.uint16),
    "batchwright packed → int64": _loader(True, np.int64),
    "batchwright packed → uint16": _loader(True, np.uint16),
    "batchwright packed → int64, certified": _loader(True, np.int64, certify=True),
    "batchwright packed → int64, micro-batch 1": _loader(True, np.int64, micro=1),
}
