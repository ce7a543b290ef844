"""A source more than once: every document floor(r) or ceil(r) times, chosen by its own id, so that r = 1.5 gives each
once and half of them twice. Up to about four epochs repeated text is worth nearly as much as new (Muennighoff et al.
2023, arXiv:2305.16264); a source that is repeated in the store weighs more without a weight of its own.

    partition   a    b    c          r = 1.5
    stored      a a¹ b    c c¹       copies follow their original, numbered in the provenance

Guarantee: how often depends on (seed, the document's id) alone; copies share the fate of their original, but are in the
training split only: what is held out is held out once. A copy is cut for filling in at places of its own (`infilling`
takes its number), otherwise it is the same ids. Price: the disk and the tokenizing of what is stored; 1 µs a document.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from batchwright.documents.deduplication import document_id
from batchwright.documents.document import Document
from batchwright.documents.inputs import TextSource
from batchwright.foundation.randomness import key


@dataclass(frozen=True, kw_only=True)
class Repetition:
    """How often the documents of each source (by its number) are stored; of those not named, once."""

    repeats: Mapping[int, float]
    seed: int

    @classmethod
    def of(cls, sources: Sequence[TextSource], seed: int) -> "Repetition":
        """Of the sources that are to stand in the store more than once."""
        return cls(repeats={n: source.repeat for n, source in enumerate(sources) if source.repeat != 1.0}, seed=seed)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Repetition":
        """From a task's parameters."""
        return cls(repeats={int(source): repeat for source, repeat in value["repeats"].items()}, seed=value["seed"])

    def to_json(self) -> dict[str, Any]:
        """For a task's parameters."""
        return {"repeats": {str(source): repeat for source, repeat in self.repeats.items()}, "seed": self.seed}

    def repeated(self, documents: Iterable[Document]) -> Iterator[Document]:
        """Every document, followed by its copies."""
        drawn_by = key(self.seed, "repetition")
        for document in documents:
            yield document
            whole, part = divmod(self.repeats.get(document.source, 1.0), 1.0)
            more = part and xxhash.xxh3_64_intdigest(document_id(document.utf8), seed=drawn_by) < part * 2**64
            for copy in range(1, int(whole) + bool(more)):
                yield replace(document, copy=copy)


def fates_of_copies(fates: NDArray[np.uint8], copies: NDArray[Any], train: int, gone: int) -> NDArray[np.uint8]:
    """(n,) fates where copies go with their original if it is trained on, else they are gone."""
    places = np.arange(len(fates))
    original = fates[np.maximum.accumulate(np.where(copies == 0, places, 0))]
    return np.where(copies == 0, fates, np.where(original == train, train, gone)).astype(np.uint8)


def repeated(records: NDArray[Any]) -> dict[str, int]:
    """Copies among provenance records, and their bytes of text."""
    sizes = records["text_bytes"][records["copy"] > 0]
    return {"documents": len(sizes), "bytes": int(sizes.sum(dtype=np.int64))}
