"""What a fastText classifier says of a text: a probability for every label.

    model = open_fasttext(Path("lid.176.bin"))
    model.labels[int(model.probabilities("Guten Tag".encode()).argmax())]      # "de"

Guarantee: the numbers that fastText 0.9.2's `predict` prints for the text as one line (newlines as blanks), with its
smoothing of 10⁻⁵, to float32's rounding; for every loss (softmax, hierarchical softmax, one against all, negative
sampling). A text's literal </s> ends it, as it does there. Price: docs/filters.md has the speed measured.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from batchwright.documents.fasttext_file import FastTextFile, read_fasttext
from batchwright.documents.fasttext_loops import label_tree, mean_vector, tree_probabilities
from batchwright.foundation.errors import InputError
from batchwright.foundation.files import translated
from batchwright.foundation.fingerprint import hash_file

SMOOTHING = 1e-5
_LIMIT, _STEPS = 8.0, 512  # of the library's table of the logistic function, which one against all reads


@dataclass(frozen=True, eq=False)
class FastTextModel:
    """An opened model."""

    file: FastTextFile
    _tree: tuple[NDArray[np.int64], NDArray[np.int64]] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_tree", label_tree(self.file.label_counts))

    @property
    def labels(self) -> tuple[str, ...]:
        """Without their prefix, in the order of `probabilities`."""
        return self.file.labels

    def probabilities(self, utf8: bytes) -> NDArray[np.float64]:
        """(L,); zeros for a text in which the model knows nothing."""
        file = self.file
        mean, rows = mean_vector(
            np.frombuffer(bytearray(b" %b </s> " % utf8), np.uint8),
            file.content,
            file.starts,
            file.lengths,
            file.table,
            file.words,
            file.buckets,
            (file.min_characters, file.max_characters),
            file.word_ngrams,
            file.input,
        )
        if not rows:
            return np.zeros(len(self.labels))
        scores = file.output @ mean
        if file.loss == "hs":
            return tree_probabilities(scores, *self._tree)
        return (_softmax(scores) if file.loss == "softmax" else _logistic(scores)) + SMOOTHING


def _softmax(scores: NDArray[np.float32]) -> NDArray[np.float64]:
    raised = np.exp(scores.astype(np.float64) - float(scores.max()))
    return raised / raised.sum()


def _logistic(scores: NDArray[np.float32]) -> NDArray[np.float64]:
    steps = ((np.clip(scores, -_LIMIT, _LIMIT) + np.float32(_LIMIT)) * _STEPS / (2 * _LIMIT)).astype(np.int64)
    values = 1.0 / (1.0 + np.exp(-(steps * (2 * _LIMIT) / _STEPS - _LIMIT)))
    return np.where(scores < -_LIMIT, 0.0, np.where(scores > _LIMIT, 1.0, values))


def open_fasttext(path: Path, *, content_hash: str | None = None) -> tuple[FastTextModel, str]:
    """(the model, the hash of its file); opened once per process. Raises InputError where the hash is another one."""
    with translated(path):
        state = path.stat()
    model, found = _opened(path, state.st_size, state.st_mtime_ns)
    if content_hash is not None and found != content_hash:
        raise InputError(
            f"this model is not the one that the job began with: its content is {found}, it was {content_hash}",
            where=str(path),
            remedy="put the old model back, or prepare into a new directory",
        )
    return model, found


@lru_cache(maxsize=4)
def _opened(path: Path, size: int, modified_ns: int) -> tuple[FastTextModel, str]:
    with translated(path):
        return FastTextModel(read_fasttext(path)), hash_file(path)[1]
