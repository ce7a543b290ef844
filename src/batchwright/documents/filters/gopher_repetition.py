"""Gopher's repetition heuristics (Rae et al. 2021, arXiv:2112.11446, table A1), as datatrove 0.10.1 reads them.

    paragraphs, lines seen before       at most 30 % of them, at most 20 % of the text's characters
    the most frequent 2-, 3-, 4-gram    at most 20, 18, 16 % of the characters
    5- to 10-grams seen before          at most 15, 14, 13, 12, 11, 10 % of the characters

Guarantee: the first rule broken, in datatrove's order and under its names. A rule is switched off by a large number.
Price: ~22 ns per byte once the words are known, less when an early rule decides.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from batchwright.documents.document import Document
from batchwright.documents.filters.character_classes import character_classes
from batchwright.documents.filters.english_words import Words
from batchwright.documents.filters.languages import require_language
from batchwright.documents.filters.repeats import (
    character_ends,
    gram_prefixes,
    longest_gram,
    repeat_candidates,
    repeated_grams,
    repeated_lines,
    repeated_paragraphs,
    top_gram,
)
from batchwright.documents.filters.thresholds import require_numbers
from batchwright.documents.filters.words import words_of
from batchwright.documents.pipeline import Dropped
from batchwright.foundation.compiled import hot_loop

_RULES = (
    "dup_para_frac",
    "dup_para_char_frac",
    "dup_line_frac",
    "dup_line_char_frac",
    *(f"top_{n}_gram" for n in (2, 3, 4)),
    *(f"duplicated_{n}_n_grams" for n in range(5, 11)),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class GopherRepetition:
    """Drop a text that says the same things again and again."""

    name: ClassVar[str] = "gopher_repetition"
    max_paragraphs: float = 0.30
    max_paragraph_characters: float = 0.20
    max_lines: float = 0.30
    max_line_characters: float = 0.20
    max_top_2_gram: float = 0.20
    max_top_3_gram: float = 0.18
    max_top_4_gram: float = 0.16
    max_repeated_5_grams: float = 0.15
    max_repeated_6_grams: float = 0.14
    max_repeated_7_grams: float = 0.13
    max_repeated_8_grams: float = 0.12
    max_repeated_9_grams: float = 0.11
    max_repeated_10_grams: float = 0.10
    language: str = "en"

    def __post_init__(self) -> None:
        require_numbers(self)
        require_language(self)

    @property
    def thresholds(self) -> tuple[float, ...]:
        """All of them, in the order in which they are asked."""
        return (
            self.max_paragraphs,
            self.max_paragraph_characters,
            self.max_lines,
            self.max_line_characters,
            self.max_top_2_gram,
            self.max_top_3_gram,
            self.max_top_4_gram,
            self.max_repeated_5_grams,
            self.max_repeated_6_grams,
            self.max_repeated_7_grams,
            self.max_repeated_8_grams,
            self.max_repeated_9_grams,
            self.max_repeated_10_grams,
        )

    def __call__(self, document: Document) -> Document | Dropped:
        words = words_of(document, self.language)
        if not len(words.codes):
            return Dropped("empty")
        thresholds = self.thresholds
        rule, value = first_broken(words, character_classes(), np.array(thresholds))
        return Dropped(_RULES[rule], f"{value:.6g} > {thresholds[rule]:.6g}") if rule >= 0 else document


@hot_loop
def first_broken(words: Words, classes: NDArray[np.uint32], thresholds: NDArray[np.float64]) -> tuple[int, float]:
    """(number of the first rule whose value is above its threshold, or −1; that value)."""
    characters = len(words.codes)
    for rule in range(0, 4, 2):
        if rule == 0:
            count, repeated, length = repeated_paragraphs(words.codes, classes)
        else:
            count, repeated, length = repeated_lines(words.codes)
        if repeated / count > thresholds[rule]:
            return rule, repeated / count
        if length / characters > thresholds[rule + 1]:
            return rule + 1, length / characters
    ends = character_ends(words)
    times = len(words.starts)
    for n in range(2, 5):
        limit = thresholds[n + 2]
        if times * longest_gram(ends, n) / characters > limit:
            times, length = top_gram(words, ends, n)
            if times * length / characters > limit:
                return n + 2, times * length / characters
    if len(words.starts) < 5:
        return -1, 0.0
    candidates = repeat_candidates(words, ends, 5)
    prefixes = gram_prefixes(words, ends)
    for n in range(5, 11):
        value = repeated_grams(candidates, prefixes, ends, n) / characters
        if value > thresholds[n + 2]:
            return n + 2, value
    return -1, 0.0
