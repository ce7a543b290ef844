"""What a token store holds: how long its documents are, where they come from, in which languages.

Guarantee: lengths are counted over all documents (percentiles are exact below 2²⁰ tokens), sources too; scripts and
languages are guessed on a keyed sample of documents (`documents.language_guess`) and come with Wilson intervals of 95 %
(Wilson, JASA 22, 1927). Price: the ends of the documents are read (8 bytes each), with several sources the provenance
(40), and the sample decoded: 2,000 documents, 2 to 6 seconds.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from batchwright.documents.language_guess import guess_language
from batchwright.foundation.errors import InputError
from batchwright.foundation.permutation import KeyedPermutation
from batchwright.foundation.randomness import key
from batchwright.measuring.coverage import TextSourceTokens, text_sources
from batchwright.tokens.store import TokenStore

PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
SAMPLE = 2000
_COUNTED = 2**20  # tokens: up to this length every length has its own count
_LONGEST_READ = 4096  # tokens of each sampled document


@dataclass(frozen=True, kw_only=True)
class LengthBin:
    """Documents of [first, stop) tokens, a power of two and the next."""

    first: int
    stop: int
    documents: int
    tokens: int


@dataclass(frozen=True, kw_only=True)
class Lengths:
    """Tokens per document, `<endoftext>` counted."""

    shortest: int
    longest: int
    mean: float
    percentiles: dict[int, int]
    bins: tuple[LengthBin, ...]


@dataclass(frozen=True, kw_only=True)
class Share:
    """Of the sampled documents, with the interval for all."""

    name: str
    documents: int
    share: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class CorpusMeasure:
    """One split of a store."""

    split: str
    documents: int
    tokens: int
    text_bytes: int
    sources: tuple[TextSourceTokens, ...]
    lengths: Lengths
    sampled: int
    scripts: tuple[Share, ...]
    languages: tuple[Share, ...]


def measure_corpus(store: TokenStore, split: str = "train", *, sample: int = SAMPLE, seed: int = 0) -> CorpusMeasure:
    """Measure a split. Raises InputError where it holds nothing."""
    view = store.split(split)
    if not view.document_count:
        raise InputError(f"the {split} split holds no document", where=str(store.directory))
    guesses = [guess_language(_beginning(store, split, number)) for number in _drawn(view.document_count, sample, seed)]
    return CorpusMeasure(
        split=split,
        documents=view.document_count,
        tokens=view.token_count,
        text_bytes=store.manifest.counts(split).text_bytes,
        sources=tuple(text_sources(store, split)),
        lengths=_lengths(view),
        sampled=len(guesses),
        scripts=_shares([guess.script for guess in guesses], view.document_count),
        languages=_shares([guess.language for guess in guesses], view.document_count),
    )


def _lengths(view: Any) -> Lengths:
    counts, longer = np.zeros(_COUNTED, np.int64), list[NDArray[np.int64]]()
    for block in view.length_blocks():
        counts += np.bincount(block[block < _COUNTED], minlength=_COUNTED)
        longer.append(block[block >= _COUNTED])
    long = np.sort(np.concatenate(longer))
    documents = int(counts.sum()) + len(long)
    ends = np.cumsum(counts)
    bins: list[LengthBin] = []
    sizes = np.arange(_COUNTED) * counts
    for power in range(64):
        first, stop = 2**power, 2 ** (power + 1)
        of_long = long[(long >= first) & (long < stop)]
        held = int(counts[first:stop].sum()) + len(of_long)
        if held:
            tokens = int(sizes[first:stop].sum() + of_long.sum())
            bins.append(LengthBin(first=first, stop=stop, documents=held, tokens=tokens))

    def at(percent: int) -> int:
        rank = max(0, math.ceil(documents * percent / 100) - 1)  # nearest rank
        return int(np.searchsorted(ends, rank, side="right")) if rank < ends[-1] else int(long[rank - ends[-1]])

    return Lengths(
        shortest=int(np.flatnonzero(counts)[0]) if ends[-1] else int(long[0]),
        longest=int(long[-1]) if len(long) else int(np.flatnonzero(counts)[-1]),
        mean=view.token_count / documents,
        percentiles={percent: at(percent) for percent in PERCENTILES},
        bins=tuple(bins),
    )


def _drawn(documents: int, sample: int, seed: int) -> list[int]:
    permutation = KeyedPermutation(size=documents, key=key(seed, "corpus-sample"))
    return permutation.forward_range(0, min(sample, documents)).tolist()


def _beginning(store: TokenStore, split: str, document: int) -> str:
    first, stop = store.split(split).span(document)
    ids = store.split(split).tokens(first, min(stop, first + _LONGEST_READ))
    return store.tokenizer.decode(ids[ids != store.eot_id])


def _shares(names: list[str], documents: int) -> tuple[Share, ...]:
    """Most frequent first; the interval is a point where every document was looked at."""
    found = {name: names.count(name) for name in set(names)}
    return tuple(
        Share(
            name=name,
            documents=count,
            share=count / len(names),
            **_wilson(count, len(names), whole=len(names) == documents),
        )
        for name, count in sorted(found.items(), key=lambda item: (-item[1], item[0]))
    )


def _wilson(count: int, n: int, *, whole: bool) -> dict[str, float]:
    """The score interval of a share, z = 1.96."""
    share, z = count / n, 1.96
    if whole:
        return {"low": share, "high": share}
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return {"low": max(0.0, middle - half), "high": min(1.0, middle + half)}
