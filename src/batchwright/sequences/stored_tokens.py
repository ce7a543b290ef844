"""What the layers above need to know of a stored split, and nothing more.

The *token address* of a split is the item number in its shards' payloads laid end to end, guards included. A target at
address g therefore has its input at g - 1 in the same shard: item 0 of every shard is a guard `<endoftext>` and is
never a target itself.

    shard 0 payload  E a b c E d E        addresses 0 … 6       documents [1,5) [5,7)   as address ranges
    shard 1 payload  E f g E              addresses 7 … 10      document  [8,11)

A shard may have a loss mask beside its tokens, a flag per item, guard included; where one has, all have.

`Store`, `Split` and `Shard` say which attributes of a token store are read here; `StoredTokens.of` gathers them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from batchwright.foundation.array_file import ArrayFile
from batchwright.foundation.errors import CorruptDataError


class Shard(Protocol):
    """One shard's payloads."""

    @property
    def tokens(self) -> ArrayFile:
        """kind "tokens", <u2 or <u4: a guard `<endoftext>`, then documents, each closed by `<endoftext>`."""
        ...

    @property
    def documents(self) -> ArrayFile:
        """kind "documents", <i8: where each document ends (exclusive), in items of `tokens`; the first starts at 1."""
        ...


class Split(Protocol):
    """One split of a store: its shards in order, with counts."""

    @property
    def shards(self) -> Sequence[Shard]: ...

    @property
    def document_count(self) -> int: ...

    @property
    def token_count(self) -> int: ...


class Store(Protocol):
    """A token store."""

    @property
    def directory(self) -> Path: ...

    @property
    def fingerprint(self) -> str: ...

    @property
    def eot_id(self) -> int: ...

    @property
    def vocabulary_size(self) -> int: ...

    def split(self, name: str) -> Split: ...


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredTokens:
    """One split ("train", "validation") of a token store. `token_count` counts every document's closing `<endoftext>`
    and no guard; sequence indexes live in `directory / "sequences"`; `tokenizer` is the hash of the vocabulary."""

    directory: Path
    split: str
    fingerprint: str
    eot_id: int
    vocabulary_size: int
    document_count: int
    token_count: int
    shards: tuple[Shard, ...]
    tokenizer: str = ""
    masks: tuple[ArrayFile, ...] = ()  # a loss mask per shard, or none at all

    @classmethod
    def of(cls, store: Store, split: str = "train") -> "StoredTokens":
        """A split of an opened store."""
        found = store.split(split)
        return cls(
            directory=store.directory,
            split=split,
            fingerprint=store.fingerprint,
            eot_id=store.eot_id,
            vocabulary_size=store.vocabulary_size,
            document_count=found.document_count,
            token_count=found.token_count,
            shards=tuple(found.shards),
            # Stores made elsewhere need not know; their ids are then told apart by vocabulary size and end alone.
            tokenizer=str(getattr(store, "tokenizer_hash", "")),
            masks=_masks_of(found.shards, store.directory),
        )


def _masks_of(shards: Sequence[Shard], directory: Path) -> tuple[ArrayFile, ...]:
    # Stores made elsewhere need not know of masks.
    found: list[ArrayFile | None] = [getattr(shard, "mask", None) for shard in shards]
    masks = tuple(mask for mask in found if mask is not None)
    if masks and len(masks) < len(shards):
        raise CorruptDataError(
            f"{len(masks)} of {len(shards)} shards have a loss mask", where=str(directory), remedy="import it again"
        )
    return masks
