"""gigatoken: the same vocabulary at 20-150 MB per CPU-second, where the probe proves it.

Guarantee: an instance exists only if the engine made the reference's ids on every string of `probe` with this
vocabulary and version; a text with characters that the two may read by different tables of Unicode is encoded by the
reference itself (see `settled`); a share of the documents is compared again while a store is written. Price: ~0.4 s to
load, 0.1 s of it the probe; it caches words, so the first 10 MB of text run slower than the rest.
"""

from collections.abc import Sequence
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import psutil
from numpy.typing import NDArray

from batchwright.foundation.errors import InputError
from batchwright.foundation.units import MiB
from batchwright.tokens.probe import Proof, prove
from batchwright.tokens.reference import JsonTokenizer, utf8_of
from batchwright.tokens.settled import is_settled
from batchwright.tokens.vocabulary import Vocabulary

PACKAGE = "gigatoken"
CACHE_BYTES = 96 * MiB
"""What the engine's cache of words may take before the engine is made anew, which costs 0.06 s."""
RENEWED_AFTER_BYTES = 8 * MiB
"""The least text between two renewals, whatever else in this process takes memory."""


class GigatokenTokenizer(JsonTokenizer):
    """A vocabulary with gigatoken as its engine and `tokenizers` as its witness; made by `proven`."""

    name = PACKAGE

    def __init__(self, vocabulary: Vocabulary) -> None:
        super().__init__(vocabulary)
        self.reference = JsonTokenizer(vocabulary)
        self._process = psutil.Process()
        self._loaded: Any = None
        self._resident_when_loaded = 0
        self._encoded_bytes = 0

    @classmethod
    def proven(cls, vocabulary: Vocabulary) -> "GigatokenTokenizer":
        """The tokenizer, if its probe passes. Raises InputError saying why it cannot be used."""
        tokenizer = cls(vocabulary)
        if tokenizer.proof.difference is not None:
            raise InputError(
                f"{tokenizer.engine} differs from `tokenizers` with this vocabulary, "
                f"first on {tokenizer.proof.difference[:80]!r}",
                remedy="use the engine `tokenizers`, which is slower and exact",
            )
        _PROVEN[tokenizer.hash, tokenizer.engine] = tokenizer
        return tokenizer

    @classmethod
    def known(cls, hash: str, engine: str) -> "GigatokenTokenizer | None":
        """The tokenizer that was proven in this process and is still held by somebody."""
        return _PROVEN.get((hash, engine))

    def rest(self) -> None:
        super().rest()
        self.reference.rest()
        self._loaded = None

    @property
    def engine(self) -> str:
        return f"{PACKAGE} {version(PACKAGE)}"

    @cached_property
    def proof(self) -> Proof:
        return prove(self, self.reference)

    @property
    def probe(self) -> str:
        return f"{self.proof.strings} strings, {self.proof.hash}"

    def _fast(self) -> Any:
        """The engine; a fresh one when the old one's cache of words, which it never empties, has grown too large."""
        if self._encoded_bytes > RENEWED_AFTER_BYTES and self._grown_bytes() > CACHE_BYTES:
            self._loaded = None  # freed before the next one is made
        if self._loaded is None:
            self._loaded = self._load()
            self._encoded_bytes = 0
            self._resident_when_loaded = self._process.memory_info().rss
        return self._loaded

    def _grown_bytes(self) -> int:
        return self._process.memory_info().rss - self._resident_when_loaded

    def _load(self) -> Any:
        try:
            version(PACKAGE)
            import gigatoken
        except (ImportError, PackageNotFoundError) as error:
            raise InputError(
                "the engine gigatoken is not installed here (its authors publish no wheel for every platform)",
                remedy="use the engine `tokenizers`",
            ) from error
        try:
            return gigatoken.Tokenizer.from_json(self.vocabulary.text_only)
        except Exception as error:  # its Rust part raises ValueError, RuntimeError and panics
            raise InputError(f"gigatoken cannot read this vocabulary: {error}") from error

    def encode_batch(self, texts: Sequence[str | bytes]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """(ids, offsets): the ids of text i are ids[offsets[i] : offsets[i + 1]]. One thread: processes are the unit of
        parallelism.
        """
        raw = [utf8_of(text) for text in texts]
        if is_settled(b"".join(raw)):
            return self._encode(raw)
        young = [number for number, text in enumerate(raw) if not is_settled(text)]
        others = raw.copy()
        for number in young:
            others[number] = b""
        return _fill(*self._encode(others), young, *self.reference.encode_batch([raw[number] for number in young]))

    def _encode(self, texts: list[bytes]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        # One by one: as fast as the library's `encode_batch`, whose awkward array costs 0.3 s to import.
        encode = self._fast().encode
        arrays: list[NDArray[np.uint32]] = list(map(encode, texts))
        offsets = np.zeros(len(arrays) + 1, np.int64)
        np.cumsum([array.shape[0] for array in arrays], out=offsets[1:])
        self._encoded_bytes += sum(map(len, texts))
        ids = np.concatenate(arrays) if arrays else np.zeros(0, np.uint32)
        return self.vocabulary.check(ids), offsets


_PROVEN: WeakValueDictionary[tuple[str, str], GigatokenTokenizer] = WeakValueDictionary()


def _fill(
    ids: NDArray[np.uint32],
    offsets: NDArray[np.int64],
    places: list[int],
    more: NDArray[np.uint32],
    more_offsets: NDArray[np.int64],
) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """(ids, offsets) with those of other texts at their places, which were empty."""
    lengths = np.diff(offsets)
    lengths[places] = np.diff(more_offsets)
    at = np.repeat(offsets[places], np.diff(more_offsets))
    return np.insert(ids, at, more), np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])
