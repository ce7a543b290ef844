"""nanoGPT's `.bin`: the ids of all documents end to end, nothing else.

    a a a ␃ b b ␃ c c c ␃          uint16, or uint32 where the vocabulary needs it; ␃ = <endoftext> ends a document

Guarantee: written, every document is closed by <endoftext>; read, the ids are cut after every <endoftext>, and ids that
follow the last one are a document too. The file says neither dtype nor vocabulary: both must be known. Price: ~0.5 G
ids per CPU-second written, ~0.1 G imported; memory of one piece.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from batchwright.adapters.id_files import blocks_of, found, mapped
from batchwright.adapters.stored_documents import stored_blocks
from batchwright.foundation.errors import InputError
from batchwright.foundation.files import AtomicFile
from batchwright.tokens.id_blocks import GivenIds, IdBlock
from batchwright.tokens.shard import dtype_for
from batchwright.tokens.store import StoreSplit, TokenStore

SUFFIX = ".bin"
NAMES = {"train": "train.bin", "validation": "val.bin"}
"""nanoGPT's own names."""

_SCANNED_IDS = 1 << 22
_LLM_C_MAGIC = 20240520


@dataclass(frozen=True, kw_only=True)
class NanoGptFile:
    """One file of ids. `dtype` "" means: uint16 if the vocabulary fits, else uint32."""

    path: Path
    dtype: str = ""

    @property
    def parts(self) -> Sequence[Path]:
        return (self.path,)

    def blocks(self, given: GivenIds) -> Iterator[IdBlock]:
        """The documents, cut after every <endoftext>."""
        self._refuse_header()
        ids = mapped(self.path, np.dtype(self.dtype or dtype_for(given.vocabulary_size)).newbyteorder("<"))
        begin = number = 0
        for first in range(0, ids.shape[0], _SCANNED_IDS):
            ends = first + 1 + np.flatnonzero(ids[first : first + _SCANNED_IDS] == given.eot_id)
            yield from blocks_of(ids, begin, ends, number)
            begin, number = (int(ends[-1]) if ends.shape[0] else begin), number + ends.shape[0]
        if begin < ids.shape[0]:
            yield from blocks_of(ids, begin, np.array([ids.shape[0]], np.int64), number)

    def _refuse_header(self) -> None:
        """llm.c and its kin write the same ids after 1,024 bytes of header."""
        head = mapped(self.path, "<i4", count=1) if self.path.stat().st_size >= 4 else np.zeros(1, "<i4")
        if int(head[0]) == _LLM_C_MAGIC:
            raise InputError(
                "this is the .bin of llm.c, whose header of 1,024 bytes would be read as ids",
                where=str(self.path),
                remedy=f"tail -c +1025 {self.path.name} > ids.bin",
            )


def nanogpt_files(paths: Sequence[str], dtype: str = "") -> list[NanoGptFile]:
    """The files that paths mean; of a directory all its .bin."""
    if dtype not in ("", "uint16", "uint32"):
        raise InputError(f"ids of type {dtype!r}", remedy="uint16 or uint32")
    return [NanoGptFile(path=path, dtype=dtype) for path in found(paths, SUFFIX)]


def export_nanogpt(store: TokenStore, split: StoreSplit, directory: Path) -> list[str]:
    """Write one split; the names of its files."""
    name = NAMES[split.name]
    with AtomicFile(directory / name) as file:
        for block in stored_blocks(split):
            file.write(_bytes(block.ids))
    return [name]


def _bytes(ids: NDArray[Any]) -> memoryview:
    return np.ascontiguousarray(ids).view(np.uint8).data
