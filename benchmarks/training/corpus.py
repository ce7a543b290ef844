"""The tokens that everybody trains on: one store of ours, exported to nanoGPT's `.bin`, from which the others read.

Ids follow Zipf's law and document lengths a lognormal one (mean ~800 tokens, as on the web); every document ends with
id 0. What the ids are changes no time; how often they recur changes the embedding's backward a little, and where
documents end is what isolation works on.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

EOT = 0


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """A directory with `store` (batchwright) and `nanogpt/train.bin` (<u2)."""

    directory: Path
    vocabulary_size: int

    @property
    def store(self) -> Path:
        return self.directory / "store"

    @property
    def bin(self) -> Path:
        return self.directory / "nanogpt" / "train.bin"

    @property
    def tokens(self) -> Any:
        """(N,) uint16, a memory map."""
        return np.memmap(self.bin, np.uint16, "r")


def write_corpus(directory: Path, vocabulary_size: int, tokens: int) -> Corpus:
    """About so many tokens, the same every time, as a store and as its export."""
    from batchwright.adapters.exporting import export_store
    from batchwright.adapters.importing import import_store
    from batchwright.tokens.store import TokenStore

    corpus = Corpus(directory=directory, vocabulary_size=vocabulary_size)
    if not corpus.bin.exists():
        directory.mkdir(parents=True, exist_ok=True)
        drawn = directory / "drawn.bin"
        _draw(vocabulary_size, tokens).tofile(drawn)
        import_store([str(drawn)], corpus.store, form="nanogpt", vocabulary_size=vocabulary_size, eot_id=EOT)
        export_store(TokenStore.open(corpus.store), corpus.bin.parent, to="nanogpt")
        drawn.unlink()
    return corpus


def _draw(vocabulary_size: int, tokens: int) -> Any:
    rng = np.random.default_rng(0)
    lengths = np.maximum(2, rng.lognormal(5.96, 1.2, tokens // 700)).astype(np.int64)
    ends = np.cumsum(lengths)
    ends = ends[ends <= tokens]
    share = 1 / np.arange(1, vocabulary_size)
    ids = rng.choice(np.arange(1, vocabulary_size, dtype=np.uint16), int(ends[-1]), p=share / share.sum())
    ids[ends - 1] = EOT
    return ids
