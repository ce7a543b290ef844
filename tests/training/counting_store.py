"""A store of documents that count (each id is the one before plus the document's own stride): learnt in seconds. Or of
garbage, ids in no order, which nobody can learn.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from batchwright.foundation.array_file import ArrayFile, ArrayFileWriter
from batchwright.foundation.fingerprint import fingerprint
from batchwright.sequences.index import SequenceIndex
from batchwright.sequences.index_build import build_index
from tests.sequences.small_store import SmallShard, SmallSplit

EOT = 0
VOCABULARY = 61


@dataclass(frozen=True, kw_only=True)
class CountingStore:
    """What `sequences.stored_tokens.Store` asks for, with both splits."""

    directory: Path
    fingerprint: str
    splits: dict[str, SmallSplit]
    eot_id: int = EOT
    vocabulary_size: int = VOCABULARY

    def split(self, name: str) -> SmallSplit:
        return self.splits[name]


def counting_indexes(
    directory: Path, *, documents: int = 60, sequence_length: int = 16, garbage: bool = False
) -> tuple[SequenceIndex, SequenceIndex]:
    """(train, validation) indexes of such a store; the same files from the same arguments."""
    draw = np.random.default_rng(documents)
    splits = {
        "train": _split(directory / "train", documents, draw, garbage),
        "validation": _split(directory / "validation", max(2, documents // 8), draw, garbage),
    }
    store = CountingStore(
        directory=directory, fingerprint=fingerprint(["garbage" if garbage else "counting", documents]), splits=splits
    )
    train, validation = (
        build_index(store, sequence_length=sequence_length, split=name) for name in ("train", "validation")
    )
    return train, validation


def _split(directory: Path, documents: int, draw: np.random.Generator, garbage: bool) -> SmallSplit:
    texts = [
        _counting(int(draw.integers(4, 40)), int(draw.integers(1, 4)), int(draw.integers(VOCABULARY - 1)))
        for _ in range(documents)
    ]
    if garbage:
        texts = [np.append(draw.integers(1, VOCABULARY, len(text) - 1), EOT) for text in texts]
    directory.mkdir(parents=True, exist_ok=True)
    with ArrayFileWriter(directory / "00000.tokens", "tokens", "<u2") as writer:
        writer.append(np.concatenate([np.array([EOT]), *texts]).astype("<u2"))
    with ArrayFileWriter(directory / "00000.documents", "documents", "<i8") as writer:
        writer.append(1 + np.cumsum([len(text) for text in texts], dtype="<i8"))
    shard = SmallShard(
        tokens=ArrayFile.open(directory / "00000.tokens", "tokens", "<u2"),
        documents=ArrayFile.open(directory / "00000.documents", "documents", "<i8"),
    )
    return SmallSplit(shards=(shard,), document_count=documents, token_count=sum(len(text) for text in texts))


def _counting(length: int, stride: int, first: int) -> np.ndarray:
    return np.append(1 + (first + stride * np.arange(length)) % (VOCABULARY - 1), EOT)
