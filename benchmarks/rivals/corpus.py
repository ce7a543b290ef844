"""The tokens that everybody loads: ids as plain uint16, and where documents end. Each rival converts them to its own
format.

Ids are random, document lengths lognormal (mean ~800, median ~390; documents longer than 2,048 tokens hold 43 % of
all). Every document ends with id 0, as `<endoftext>` does.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

EOT = 0
VOCABULARY = 50_257
T = 2048


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """A directory with `tokens.bin` (<u2) and `ends.bin` (<i8, exclusive, one per document)."""

    directory: Path

    @property
    def tokens_file(self) -> Path:
        return self.directory / "tokens.bin"

    @property
    def tokens(self) -> Any:
        """(N,) uint16, a memory map."""
        return np.memmap(self.tokens_file, np.uint16, "r")

    @property
    def ends(self) -> Any:
        """(documents,) int64."""
        return np.fromfile(self.directory / "ends.bin", "<i8")

    def converted(self, rival: str) -> Path:
        """Where a rival keeps the tokens in its own format."""
        return self.directory / rival


def write_corpus(directory: Path, tokens: int) -> Corpus:
    """About so many tokens, the same every time."""
    directory.mkdir(parents=True, exist_ok=True)
    corpus = Corpus(directory=directory)
    if not (directory / "ends.bin").exists():
        rng = np.random.default_rng(0)
        lengths = np.maximum(2, rng.lognormal(5.96, 1.2, tokens // 700)).astype("<i8")
        ends = np.cumsum(lengths)
        ends = ends[ends <= tokens]
        ids = rng.integers(1, VOCABULARY, int(ends[-1]), dtype=np.uint16)
        ids[ends - 1] = EOT
        ids.tofile(corpus.tokens_file)
        ends.tofile(directory / "ends.bin")
    return corpus
