"""A token store small enough for a test, in the real files: shards with guards and ends, no text behind them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from batchwright.foundation.array_file import ArrayFile, ArrayFileWriter
from batchwright.foundation.fingerprint import fingerprint

EOT = 0
VOCABULARY = 60_000


@dataclass(frozen=True, kw_only=True)
class SmallShard:
    tokens: ArrayFile
    documents: ArrayFile
    mask: ArrayFile | None = None


@dataclass(frozen=True, kw_only=True)
class SmallSplit:
    shards: tuple[SmallShard, ...]
    document_count: int
    token_count: int


@dataclass(frozen=True, kw_only=True)
class SmallStore:
    """What `sequences.stored_tokens.Store` asks for."""

    directory: Path
    fingerprint: str
    train: SmallSplit
    eot_id: int = EOT
    vocabulary_size: int = VOCABULARY

    def split(self, name: str) -> SmallSplit:
        return self.train if name == "train" else SmallSplit(shards=(), document_count=0, token_count=0)

    def documents(self) -> list[list[int]]:
        """Every document's ids, closing `<endoftext>` included, in order."""
        out: list[list[int]] = []
        for shard in self.train.shards:
            begin = 1
            for end in shard.documents.array.tolist():
                out.append(shard.tokens.array[begin:end].tolist())
                begin = end
        return out

    def masks(self) -> list[list[int]]:
        """Every document's loss mask, in order; ones where the store has none."""
        out: list[list[int]] = []
        for shard in self.train.shards:
            begin = 1
            for end in shard.documents.array.tolist():
                out.append([1] * (end - begin) if shard.mask is None else shard.mask.array[begin:end].tolist())
                begin = end
        return out


def ids_of_lengths(lengths: list[int], seed: int = 0) -> list[list[int]]:
    """Documents of these stored lengths (closing `<endoftext>` included) with ids that hardly repeat."""
    stream = np.random.default_rng(seed).integers(1, VOCABULARY, sum(lengths))
    ends = np.cumsum(lengths)
    return [[*stream[end - n : end - 1].tolist(), EOT] for n, end in zip(lengths, ends, strict=True)]


def write_store(
    directory: Path,
    lengths: list[int],
    *,
    shard_documents: int = 1_000_000,
    dtype: str = "<u2",
    seed: int = 0,
    masks: Sequence[Sequence[int]] | None = None,
) -> SmallStore:
    """A store of documents of these lengths, `shard_documents` to a shard; `masks`: a flag for each of their tokens."""
    documents = ids_of_lengths(lengths, seed)
    directory.mkdir(parents=True, exist_ok=True)
    shards: list[SmallShard] = []
    for number, first in enumerate(range(0, len(documents), shard_documents)):
        part = documents[first : first + shard_documents]
        with ArrayFileWriter(directory / f"{number:05}.tokens", "tokens", dtype) as writer:
            writer.append(np.array([EOT, *[i for document in part for i in document]], dtype))
        with ArrayFileWriter(directory / f"{number:05}.documents", "documents", "<i8") as writer:
            writer.append(1 + np.cumsum([len(document) for document in part], dtype="<i8"))
        mask = None
        if masks is not None:
            flags = [flag for of_document in masks[first : first + shard_documents] for flag in of_document]
            with ArrayFileWriter(directory / f"{number:05}.mask", "mask", "<u1") as writer:
                writer.append(np.array([0, *flags], "<u1"))
            mask = ArrayFile.open(directory / f"{number:05}.mask", "mask", "<u1")
        shards.append(
            SmallShard(
                tokens=ArrayFile.open(directory / f"{number:05}.tokens", "tokens", dtype),
                documents=ArrayFile.open(directory / f"{number:05}.documents", "documents", "<i8"),
                mask=mask,
            )
        )
    return SmallStore(
        directory=directory,
        fingerprint=fingerprint(
            [lengths, shard_documents, dtype, seed, *([] if masks is None else [[list(mask) for mask in masks]])]
        ),
        train=SmallSplit(shards=tuple(shards), document_count=len(documents), token_count=sum(lengths)),
    )
