"""Gopher's quality heuristics (Rae et al. 2021, arXiv:2112.11446, appendix A.1.1), as datatrove 0.10.1 reads them.

    words        of the text that are no mere symbols: between 50 and 100,000, on average 3 to 10 characters long
    symbols      at most 0.1 "#" per word, at most 0.1 ellipses per word ("..." or "…")
    lines        at most 90 % begin with a bullet (• or -), at most 30 % end with an ellipsis
    letters      at least 80 % of the words hold one
    stop words   at least 2 of the, be, to, of, and, that, have, with

Guarantee: the first rule broken, in datatrove's order and under its names. A rule is switched off by a threshold that
no text can break: 0 for a minimum, a large number for a maximum. Price: ~4 ns per byte once the words are known.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from batchwright.documents.document import Document
from batchwright.documents.filters.character_classes import character_classes
from batchwright.documents.filters.english_tables import key_of, table_of
from batchwright.documents.filters.english_words import HAS_LETTER, NOT_SYMBOL, Words
from batchwright.documents.filters.hashing import slot_of
from batchwright.documents.filters.languages import require_language
from batchwright.documents.filters.lines import after_break, ends_with_ellipsis, left_strip, line_end, right_strip
from batchwright.documents.filters.thresholds import require_numbers, share
from batchwright.documents.filters.words import words_of
from batchwright.documents.pipeline import Dropped
from batchwright.foundation.compiled import hot_loop

ENGLISH_STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")


class QualityCounts(NamedTuple):
    """What the rules are about, counted."""

    words: int
    words_no_symbols: int
    their_characters: int
    hashes: int
    ellipses: int
    lines: int
    bullets: int
    lines_ending_in_ellipsis: int
    words_with_letters: int
    distinct_stop_words: int


@dataclass(frozen=True, kw_only=True, slots=True)
class GopherQuality:
    """Drop a text that does not look like prose."""

    name: ClassVar[str] = "gopher_quality"
    min_words: int = 50
    max_words: int = 100_000
    min_mean_word_length: float = 3
    max_mean_word_length: float = 10
    max_hashes_per_word: float = 0.1
    max_ellipses_per_word: float = 0.1
    max_bullet_lines: float = 0.9
    max_ellipsis_lines: float = 0.3
    min_words_with_letters: float = 0.8
    min_stop_words: int = 2
    stop_words: tuple[str, ...] = ENGLISH_STOP_WORDS
    language: str = "en"

    def __post_init__(self) -> None:
        object.__setattr__(self, "stop_words", tuple(self.stop_words))  # a list, when it was restored from JSON
        require_numbers(self)
        require_language(self)

    def __call__(self, document: Document) -> Document | Dropped:
        return self.why_not(quality_counts(words_of(document, self.language), self.stop_words)) or document

    def why_not(self, counts: QualityCounts) -> Dropped | None:
        """The first rule that these counts break."""
        words, prose = counts.words, counts.words_no_symbols
        mean = share(counts.their_characters, prose)
        for reason, value, least, most in (
            ("gopher_short_doc", prose, self.min_words, None),
            ("gopher_long_doc", prose, None, self.max_words),
            ("gopher_below_avg_threshold", mean, self.min_mean_word_length, None),
            ("gopher_above_avg_threshold", mean, None, self.max_mean_word_length),
            ("gopher_too_many_hashes", share(counts.hashes, words), None, self.max_hashes_per_word),
            ("gopher_too_many_ellipsis", share(counts.ellipses, words), None, self.max_ellipses_per_word),
            ("gopher_too_many_bullets", share(counts.bullets, counts.lines), None, self.max_bullet_lines),
            (
                "gopher_too_many_end_ellipsis",
                share(counts.lines_ending_in_ellipsis, counts.lines),
                None,
                self.max_ellipsis_lines,
            ),
            (
                "gopher_below_alpha_threshold",
                share(counts.words_with_letters, words),
                self.min_words_with_letters,
                None,
            ),
            ("gopher_enough_stop_words", counts.distinct_stop_words, self.min_stop_words, None),
        ):
            if least is not None and value < least:
                return Dropped(reason, f"{value:.6g} < {least:.6g}")
            if most is not None and value > most:
                return Dropped(reason, f"{value:.6g} > {most:.6g}")
        return None


def quality_counts(words: Words, stop_words: tuple[str, ...] = ENGLISH_STOP_WORDS) -> QualityCounts:
    """The counts of a text, given its words."""
    return QualityCounts(*_count(words, character_classes(), *_stop_table(stop_words)).tolist())


@lru_cache(maxsize=16)
def _stop_table(words: tuple[str, ...]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """(keys, number of each word in its slot)."""
    slots, places = table_of([key_of(word) for word in words])
    numbers = np.zeros(len(slots), np.int64)
    numbers[places] = np.arange(len(places))
    return slots, numbers


@hot_loop
def _count(
    words: Words, classes: NDArray[np.uint32], stop_words: NDArray[np.uint64], numbers: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The fields of QualityCounts."""
    counts = np.zeros(10, np.int64)
    seen = np.zeros(len(stop_words), np.bool_)
    counts[0] = len(words.starts)
    for word in range(len(words.starts)):
        length, kind = words.stops[word] - words.starts[word], words.kinds[word]
        if kind & NOT_SYMBOL:
            counts[1] += 1
            counts[2] += length
        if kind & HAS_LETTER:
            counts[8] += 1
            slot = slot_of(stop_words, words.hashes[word])
            if stop_words[slot] != 0 and not seen[numbers[slot]]:
                seen[numbers[slot]] = True
                counts[9] += 1
    _count_marks(words.codes, counts)
    _count_lines(words.codes, classes, counts)
    return counts


@hot_loop
def _count_marks(codes: NDArray[np.uint32], counts: NDArray[np.int64]) -> None:
    stops = 0
    for code in codes:
        if code == 46:
            stops += 1
            if stops == 3:  # "......" are two
                counts[4] += 1
                stops = 0
            continue
        stops = 0
        if code == 35:
            counts[3] += 1
        elif code == 0x2026:
            counts[4] += 1


@hot_loop
def _count_lines(codes: NDArray[np.uint32], classes: NDArray[np.uint32], counts: NDArray[np.int64]) -> None:
    place = 0
    while place < len(codes):
        end = line_end(codes, place, classes)
        first = left_strip(codes, place, end, classes)
        stop = right_strip(codes, first, end, classes)
        counts[5] += 1
        if first < stop and (codes[first] == 0x2022 or codes[first] == 45):
            counts[6] += 1
        if ends_with_ellipsis(codes, first, stop):
            counts[7] += 1
        place = after_break(codes, end)
