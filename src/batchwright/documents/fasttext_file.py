"""A classifier in fastText's file format (.bin, versions 11 and 12), read without the library.

    int32 magic, version │ 12 × int32 arguments, float64 │ dictionary │ input (words + buckets, D) │ output (L, D)

The format is that of fastText 0.9.2 (Joulin et al. 2016, arXiv:1607.01759), which states it in its code alone.
Guarantee: every size is checked against the file before anything is followed, so that a damaged or foreign file is
refused and never read beyond its end. The matrices stay in the file (memory-mapped), shared by all processes. Price:
opening reads the file once for its hash and parses the dictionary, which keeps about 40 bytes per word.
"""

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from batchwright.documents.fasttext_loops import build_table, parse_entries
from batchwright.foundation.errors import InputError
from batchwright.foundation.files import translated

MAGIC, VERSIONS = 793712314, (11, 12)
LABEL = "__label__"
LOSSES = {1: "hs", 2: "ns", 3: "softmax", 4: "ova"}
_SUPERVISED = 3
_ARGUMENTS = struct.Struct("<12id")
_COUNTS = struct.Struct("<3i2q")  # entries, words, labels, tokens seen, pruned buckets
_LONGEST = 100  # words or characters of a run; more is damage, and would take for ever
_ENTRY_BYTES = 10  # at least: a closing NUL, a count, a kind


@dataclass(frozen=True, eq=False, kw_only=True)
class FastTextFile:
    """What a model file holds. Words come first in its dictionary, then labels, the most frequent first."""

    loss: str
    buckets: int
    min_characters: int  # of the hashed pieces of a word; none where the maximum is 0
    max_characters: int
    word_ngrams: int
    words: int
    labels: tuple[str, ...]
    label_counts: NDArray[np.int64]
    content: NDArray[np.uint8]  # the whole file
    starts: NDArray[np.int64]  # of each entry's name in it
    lengths: NDArray[np.int64]
    table: NDArray[np.int32]  # hash → entry, open addressing; −1: free
    input: NDArray[np.float32]  # (words + buckets, D)
    output: NDArray[np.float32]  # (L, D)


def read_fasttext(path: Path) -> FastTextFile:
    """Raises InputError for what is no classifier in this format, is quantised, or is cut short."""
    with translated(path), path.open("rb") as file:
        size = path.stat().st_size
        if size < 8 + _ARGUMENTS.size + _COUNTS.size:
            raise _refusal(path, "it is too short")
        content = np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)
    return _Reader(path, content).read()


def _refusal(path: Path, why: str, remedy: str = "a .bin that fastText's train_supervised saved") -> InputError:
    return InputError(f"this is no classifier in fastText's format: {why}", where=str(path), remedy=remedy)


class _Reader:
    """One pass through a file, the place in it, and what is wrong with it."""

    def __init__(self, path: Path, content: NDArray[np.uint8]) -> None:
        self.path, self.content, self.place = path, content, 0

    def read(self) -> FastTextFile:
        magic, version = self._take(struct.Struct("<2i"))
        if magic != MAGIC or version not in VERSIONS:
            raise _refusal(self.path, f"it begins with {magic}, version {version}")
        dimension, _, _, _, _, word_ngrams, loss, kind, buckets, min_characters, max_characters, *_ = self._take(
            _ARGUMENTS
        )
        if kind != _SUPERVISED or loss not in LOSSES:
            raise _refusal(self.path, "it holds word vectors")
        entries, words, labels, _, pruned = self._take(_COUNTS)
        if pruned > 0:
            raise self._quantised()
        fits = 0 <= entries <= len(self.content) // _ENTRY_BYTES and entries == words + labels and words >= 0
        longest = max(word_ngrams, max_characters)
        if not fits or longest > _LONGEST or labels < 1 or dimension < 1 or buckets < 0:
            raise _refusal(self.path, "its counts contradict each other")
        starts, lengths, counts, hashes, end = parse_entries(self.content, self.place, entries, words)
        if end < 0:
            raise _refusal(self.path, "its dictionary is damaged")
        self.place = end
        if version == 11:
            max_characters = 0  # what the library does with classifiers of that version
        return FastTextFile(
            loss=LOSSES[loss],
            buckets=buckets,
            min_characters=min_characters,
            max_characters=max_characters,
            word_ngrams=word_ngrams,
            words=words,
            labels=tuple(
                bytes(self.content[start : start + length]).decode(errors="replace").removeprefix(LABEL)
                for start, length in zip(starts[words:].tolist(), lengths[words:].tolist(), strict=True)
            ),
            label_counts=counts[words:],
            content=self.content,
            starts=starts,
            lengths=lengths,
            table=build_table(hashes, 1 << max(4, (2 * entries).bit_length())),
            input=self._matrix(words + buckets, dimension),
            output=self._matrix(labels, dimension),
        )

    def _take(self, shape: struct.Struct) -> tuple[int, ...]:
        if self.place + shape.size > len(self.content):
            raise _refusal(self.path, "it is cut short")
        values = shape.unpack(self.content[self.place : self.place + shape.size].tobytes())
        self.place += shape.size
        return values

    def _matrix(self, rows: int, columns: int) -> NDArray[np.float32]:
        quantised, *shape = self._take(struct.Struct("<B2q"))
        if quantised:
            raise self._quantised()
        stop = self.place + 4 * rows * columns
        if shape != [rows, columns] or stop > len(self.content):
            raise _refusal(self.path, f"a matrix of {shape}, where {[rows, columns]} was to come, or it is cut short")
        matrix = self.content[self.place : stop].view("<f4").reshape(rows, columns)
        self.place = stop
        return matrix

    def _quantised(self) -> InputError:
        return _refusal(self.path, "it is quantised (.ftz)", "the .bin from which it was made, with all its numbers")
