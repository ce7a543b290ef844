"""Blocks of ids are laid into the shards of a split, one after another.

    blocks    a a a ␃ b b ␃ | c c c ␃
    shards    ␃ a a a ␃ b b ␃ | ␃ c c c ␃     cut before the document that would pass `shard_tokens`, never inside one

Guarantee: the shards depend on the documents alone, not on the blocks they came in, and are cut as `assembly` cuts; a
document without ids is dropped and counted. Price: every id is copied twice; memory of one block, whatever the length
of a document.
"""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from batchwright.documents.tally import Tally
from batchwright.foundation.array_file import ArrayFileWriter
from batchwright.tokens.assembly import shard_name
from batchwright.tokens.id_blocks import GivenIds, IdBlock
from batchwright.tokens.manifest import ShardEntry
from batchwright.tokens.shard import ENDS_DTYPE, FIRST_ITEM, MASK_DTYPE, PROVENANCE, describe

LONG_IDS = 1 << 22
"""A document of more ids than this passes in pieces."""


class IdShards:
    """The shards of one split, written into `directory` under their names. `entries` are complete after the `with`."""

    def __init__(self, directory: Path, split: str, given: GivenIds, *, first_shard: int, shard_tokens: int) -> None:
        self.entries: list[ShardEntry] = []
        self.tally = Tally()
        self._directory, self._split, self._given = directory, split, given
        self._first_shard, self._shard_tokens = first_shard, shard_tokens
        self._stack = ExitStack()
        self._files: dict[str, ArrayFileWriter] = {}

    def __enter__(self) -> "IdShards":
        return self

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        if kind is None:
            self._finish()
        else:
            self._stack.__exit__(kind, error, traceback)

    @property
    def _filled(self) -> int:
        """Tokens in the open shard; as many as fit when none is open."""
        return self._files["tokens"].count - FIRST_ITEM if self._files else self._shard_tokens

    def append(self, block: IdBlock, *, file: int, where: str) -> None:
        """Lay the documents of a block; `file` is the line of inputs.jsonl, `where` its name in errors."""
        if block.offsets.shape[0] == 2 and block.ids.shape[0] > LONG_IDS:
            self._append_long(block, file, where)
            return
        closed = self._given.close(block, where)
        self._count(len(block.places), closed.empty, closed.closed_here)
        starts = np.concatenate([np.zeros(1, np.int64), closed.ends])
        first, count = 0, closed.ends.shape[0]
        while first < count:
            before = int(starts[first])
            stop = int(np.searchsorted(closed.ends, before + self._shard_tokens - self._filled, "right"))
            if stop <= first:
                self._begin()
                # A document that is longer than a shard is one alone.
                stop = max(first + 1, int(np.searchsorted(closed.ends, before + self._shard_tokens, "right")))
            span, base = slice(before, int(starts[stop])), self._files["tokens"].count
            self._files["documents"].append(closed.ends[first:stop] - before + base)
            self._files["tokens"].append(closed.ids[span])
            if closed.mask is not None:
                self._files["mask"].append(closed.mask[span])
            self._files["provenance"].append(_records(closed.names[first:stop], closed.places[first:stop], file))
            first = stop

    def _append_long(self, block: IdBlock, file: int, where: str) -> None:
        """One document, piece by piece: nothing of its length is ever held."""
        given = self._given
        closed = int(block.ids[-1]) == given.eot_id
        length = block.ids.shape[0] - closed
        self._count(1, 0, int(not closed))
        if self._filled + length + 1 > self._shard_tokens:
            self._begin()
        name, last = xxhash.xxh3_128(), np.ones(1, MASK_DTYPE)
        for first in range(0, length, LONG_IDS):
            ids = block.ids[first : min(first + LONG_IDS, length)]
            given.check(ids, block, first, where)
            given.check_open(ids, block, first, where)
            name.update(np.ascontiguousarray(ids.astype("<u4")).data)
            self._files["tokens"].append(ids.astype(given.dtype))
            if given.masked:
                mask = last if block.mask is None else block.mask[first : first + ids.shape[0]].astype(MASK_DTYPE)
                self._files["mask"].append(np.broadcast_to(mask, ids.shape) if block.mask is None else mask)
        if given.masked:
            self._files["mask"].append(last if block.mask is None else block.mask[-1:].astype(MASK_DTYPE))
        self._files["tokens"].append(np.array([given.eot_id], given.dtype))
        self._files["documents"].append(np.array([self._files["tokens"].count], ENDS_DTYPE))
        self._files["provenance"].append(
            _records(np.frombuffer(name.digest(), np.uint8).reshape(1, 16), block.places, file)
        )

    def _count(self, documents: int, empty: int, closed_here: int) -> None:
        """Bytes are bytes of text, and there is none."""
        self.tally.read.documents += documents
        self.tally.kept.documents += documents - empty
        if empty:
            self.tally.drop("empty", 0, empty)
        if closed_here:
            self.tally.edit("closed", 0, closed_here)

    def _begin(self) -> None:
        self._finish()
        name = shard_name(self._first_shard + len(self.entries))
        kinds = {"tokens": self._given.dtype, "documents": ENDS_DTYPE, "provenance": PROVENANCE}
        kinds |= {"mask": MASK_DTYPE} if self._given.masked else {}
        with ExitStack() as stack:
            files = {
                kind: stack.enter_context(ArrayFileWriter(self._directory / f"{name}.{kind}", kind, dtype))
                for kind, dtype in kinds.items()
            }
            self._stack, self._files = stack.pop_all(), files
        self._files["tokens"].append(np.array([self._given.eot_id], self._given.dtype))
        if self._given.masked:
            self._files["mask"].append(np.zeros(1, MASK_DTYPE))

    def _finish(self) -> None:
        """Seal the open shard and list it."""
        if not self._files:
            return
        files, self._files = self._files, {}
        self._stack.close()
        name = shard_name(self._first_shard + len(self.entries))
        self.entries.append(
            ShardEntry(
                name=name,
                split=self._split,
                documents=files["documents"].count,
                tokens=files["tokens"].count - FIRST_ITEM,
                text_bytes=0,
                files={kind: describe(self._directory / f"{name}.{kind}", kind) for kind in files},
            )
        )


def _records(names: NDArray[np.uint8], places: NDArray[np.int64], file: int) -> NDArray[Any]:
    records = np.zeros(names.shape[0], PROVENANCE)
    records["id"], records["offset"], records["file"] = names, places, file
    return records
