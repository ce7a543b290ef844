"""A store that is already there, as what comes before: its documents count as earlier than all of the new ones.

    other store   ids in NNNNN.provenance, signatures in NNNNN.signatures      documents 0 … n-1
    this job      ids and signatures of its partitions                         documents n …

Guarantee: a new text that the other store holds, or (where near-duplicates are looked for) a near copy of one, is
treated as if both had been prepared together, the other store first; the other store is only read. Price: its ids and
signatures are read once, no text; 12 bytes × `bands` per document on disk while the job runs.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from batchwright.documents.deduplication import ids_to_pairs
from batchwright.documents.near_duplicates import NearDuplicates
from batchwright.foundation.errors import InputError
from batchwright.foundation.execution import Executor, Task
from batchwright.tokens.near import BANDS, SIGNATURES, WRITE_BANDS, Part
from batchwright.tokens.store import TokenStore

MATTERING = ("shingle_words", "shingle_characters", "bands", "rows", "seed")  # for what a signature is


@dataclass(frozen=True, kw_only=True)
class OtherStore:
    """A finished store whose documents come first."""

    store: TokenStore

    @classmethod
    def open(cls, directory: Path | str, near: NearDuplicates | None) -> "OtherStore":
        """Raises InputError when it cannot be compared with."""
        store = TokenStore.open(directory)
        counts = store.manifest.counts()
        if counts.documents and not counts.text_bytes:
            raise InputError(
                "this store was imported: its documents are named by their tokens, not by their text",
                where=str(directory),
                remedy="compare with a store that was prepared from text",
            )
        if near is not None:
            _require_same(near, store.manifest.recipe.get("near_duplicates"), str(directory))
        return cls(store=store)

    @property
    def documents(self) -> int:
        return self.store.document_count

    def name_of(self, document: int) -> str:
        """STORE:PATH@OFFSET of a document, counted over all its splits."""
        for split in self.store.splits.values():
            if document < split.document_count:
                origin = self.store.provenance(split.name, document)
                return f"{self.store.directory.name}:{origin.path}@{origin.offset}"
            document -= split.document_count
        raise AssertionError("there is no such document")

    def ids(self) -> Iterator[NDArray[np.uint64]]:
        """The ids of its documents, shard by shard, as pairs."""
        for shard in (shard for split in self.store.splits.values() for shard in split.shards):
            shard.provenance.verify()
            yield ids_to_pairs(np.ascontiguousarray(shard.provenance.array["id"]).tobytes())

    def parts(self, executor: Executor, work: Path, near: NearDuplicates) -> list[Part]:
        """Its shards, with band rows made of their signatures by tasks."""
        tasks: list[Task] = []
        parts: list[Part] = []
        for entry in self.store.manifest.shards:
            seal, signatures = entry.files[SIGNATURES].seal, self.store.directory / f"{entry.name}.{SIGNATURES}"
            task = Task(
                function=WRITE_BANDS,
                parameters={"seal": seal, "settings": near.to_json()},
                context={SIGNATURES: str(signatures)},
                output=str(work),
            )
            tasks.append(task)
            bands = work / f"{task.key}.{BANDS}"
            parts.append(Part(name=seal, documents=entry.documents, signatures=signatures, bands=bands))
        for _ in executor.run(tasks):
            pass
        return parts


def _require_same(near: NearDuplicates, theirs: dict[str, Any] | None, where: str) -> None:
    if theirs is None:
        raise InputError(
            "this store has no signatures to compare near-duplicates with",
            where=where,
            remedy="prepare it with --near-duplicates, or compare exact texts alone: --near-duplicates off",
        )
    ours = near.to_json()
    differing = [f"{name}: {theirs.get(name)} → {ours[name]}" for name in MATTERING if theirs.get(name) != ours[name]]
    if differing:
        raise InputError(
            "this store's signatures were made in another way: " + ", ".join(differing),
            where=where,
            remedy="choose its settings",
        )
