"""C4's heuristics (Raffel et al. 2020, JMLR 21(140), section 2.2), as datatrove 0.10.1 reads them: they also edit.

Each line is stripped, loses its citations ([12], [edit], [citation needed]) and is left out of the text when

    a word has more than 1,000 characters · it does not end in . ? ! " ' or ends in ... · it has fewer than 3 words ·
    it names javascript · it holds a phrase of terms of use, privacy or cookies

The document is dropped at the first line, not yet left out, with "lorem ipsum" or "{", or when fewer than 5 sentences
remain. FineWeb uses it without the rule about line ends: `C4(terminal_punctuation=False)`.

Guarantee: reason and text as datatrove's, byte for byte. Price: ~13 ns per byte once the words are known.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from batchwright.documents.document import Document
from batchwright.documents.filters.character_classes import DIGIT, SPACE, TERMINAL, character_classes
from batchwright.documents.filters.english_tables import EnglishTables
from batchwright.documents.filters.english_words import Words, english_tables, words_of_codes
from batchwright.documents.filters.languages import is_unspaced, require_language
from batchwright.documents.filters.lines import after_break, left_strip, line_end, right_strip
from batchwright.documents.filters.phrases import phrase_table, phrases_in
from batchwright.documents.filters.sentences import sentences
from batchwright.documents.filters.thresholds import require_numbers
from batchwright.documents.filters.words import Counted, words_of
from batchwright.documents.pipeline import Dropped
from batchwright.foundation.compiled import hot_loop

_LOREM_IPSUM, _JAVASCRIPT, _POLICY, _CURLY_BRACKET = 1, 2, 4, 8  # phrases.Found
_KEPT, _LOREM, _CURLY = 0, 1, 2
_BRACKET, _CLOSE, _STOP = 91, 93, 46
_EDIT = np.frombuffer(b"[edit]", np.uint8)
_NEEDED = np.frombuffer(b"[citation needed]", np.uint8)


@dataclass(frozen=True, kw_only=True, slots=True)
class C4Quality:
    """Keep the lines that are sentences; drop a text of which too few remain."""

    name: ClassVar[str] = "c4_quality"
    remove_citations: bool = True
    terminal_punctuation: bool = True
    min_sentences: int = 5
    min_words_per_line: int = 3
    max_word_characters: int = 1000
    lorem_ipsum: bool = True
    javascript: bool = True
    curly_bracket: bool = True
    policy: bool = True
    language: str = "en"

    def __post_init__(self) -> None:
        require_numbers(self)
        require_language(self)

    def __call__(self, document: Document) -> Document | Dropped:
        rules = np.array(
            [
                self.remove_citations,
                self.terminal_punctuation,
                self.min_words_per_line,
                self.max_word_characters,
                is_unspaced(self.language),
            ]
        )
        wanted = (
            self.lorem_ipsum * _LOREM_IPSUM
            | self.javascript * _JAVASCRIPT
            | self.policy * _POLICY
            | self.curly_bracket * _CURLY_BRACKET
        )
        end, found, words, utf8 = keep_lines(
            words_of(document, self.language), character_classes(), english_tables(), phrase_table(), rules, wanted
        )
        if end != _KEPT:
            return Dropped("lorem_ipsum" if end == _LOREM else "curly_bracket", f"line {found}")
        if found < self.min_sentences:
            return Dropped("too_few_sentences", f"{found} < {self.min_sentences}")
        edited = utf8.tobytes()
        if edited == document.utf8:
            return document
        kept = document.with_utf8(edited)
        kept.words = Counted(self.language, words)
        return kept


@hot_loop
def keep_lines(
    words: Words,
    classes: NDArray[np.uint32],
    tables: EnglishTables,
    phrases: NDArray[np.uint32],
    rules: NDArray[np.int64],
    wanted: int,
) -> tuple[int, int, int, NDArray[np.uint8]]:
    """(how it ends; sentences kept, or number of the line that ends it; words kept; the UTF-8 of the lines kept)."""
    codes = words.codes
    text = np.empty(len(codes) + 1, np.uint32)  # lines kept, each with its newline; the one looked at stands last
    unspaced = rules[4] != 0
    size = total = kept = number = word = place = 0
    while place < len(codes):
        end = line_end(codes, place, classes)
        first = left_strip(codes, place, end, classes)
        stop = right_strip(codes, first, end, classes)
        place, number = after_break(codes, end), number + 1
        while word < len(words.starts) and words.starts[word] < first:
            word += 1
        begin_word = word
        while word < len(words.starts) and words.starts[word] < stop:
            word += 1
        pieces, longest = _pieces(codes, first, stop, classes)
        if longest > rules[3] and not unspaced:
            continue
        length = _without_citations(codes, first, stop, classes, text, size, rules[0] != 0)
        if rules[1] and not _ends_well(text, size, size + length, classes, unspaced):
            continue
        if (word - begin_word if unspaced else pieces) < rules[2]:
            continue
        found = phrases_in(text, size, size + length, phrases) & wanted
        if found & _LOREM_IPSUM:
            return _LOREM, number, 0, np.empty(0, np.uint8)
        if found & _JAVASCRIPT:
            continue
        if found & _CURLY_BRACKET:
            return _CURLY, number, 0, np.empty(0, np.uint8)
        if found & _POLICY:
            continue
        if length == stop - first:
            total += sentences(words, begin_word, word, first, stop)
            kept += word - begin_word
        else:
            line = words_of_codes(text[size : size + length], classes, tables, unspaced)
            total += sentences(line, 0, len(line.starts), 0, length)
            kept += len(line.starts)
        text[size + length] = 10
        size += length + 1
    first = left_strip(text, 0, size, classes)
    return _KEPT, total, kept, encode(text[first : right_strip(text, first, size, classes)])


@hot_loop
def _pieces(codes: NDArray[np.uint32], first: int, stop: int, classes: NDArray[np.uint32]) -> tuple[int, int]:
    """(pieces between white space, characters of the longest)."""
    count = longest = length = 0
    for place in range(first, stop):
        if classes[codes[place]] & SPACE:
            length = 0
            continue
        count += length == 0
        length += 1
        longest = max(longest, length)
    return count, longest


@hot_loop
def _without_citations(
    codes: NDArray[np.uint32],
    first: int,
    stop: int,
    classes: NDArray[np.uint32],
    text: NDArray[np.uint32],
    size: int,
    remove: bool,
) -> int:
    """Copy codes[first:stop] to text[size:] without its citations; return how many characters came of it."""
    begin, place = size, first
    while place < stop:
        if remove and codes[place] == _BRACKET:
            length = _citation(codes, place, stop, classes)
            if length:
                place += length
                continue
        text[size] = codes[place]
        size += 1
        place += 1
    return size - begin


@hot_loop
def _citation(codes: NDArray[np.uint32], first: int, stop: int, classes: NDArray[np.uint32]) -> int:
    """Characters of the citation that begins at the bracket codes[first]; 0: none."""
    place = first + 1
    while place < stop and classes[codes[place]] & DIGIT:
        place += 1
    if place < stop and codes[place] == _CLOSE:
        return place + 1 - first
    return _spelled(codes, first, stop, _EDIT) or _spelled(codes, first, stop, _NEEDED)


@hot_loop
def _spelled(codes: NDArray[np.uint32], first: int, stop: int, known: NDArray[np.uint8]) -> int:
    """len(known) if codes[first:stop] begins with it, else 0."""
    if first + len(known) > stop:
        return 0
    for place in range(len(known)):
        if codes[first + place] != known[place]:
            return 0
    return len(known)


@hot_loop
def _ends_well(codes: NDArray[np.uint32], first: int, stop: int, classes: NDArray[np.uint32], unspaced: bool) -> bool:
    """Whether a line ends in . ? ! " or ', but not in three full stops; where words are not spaced, in any mark that
    ends a sentence or closes a quotation."""
    if stop == first:
        return False
    last = codes[stop - 1]
    if last == _STOP:
        return stop - first < 3 or codes[stop - 2] != _STOP or codes[stop - 3] != _STOP
    if unspaced and (classes[last] & TERMINAL or last == 0x201D or last == 0x300D or last == 0x300F):
        return True
    return last == 63 or last == 33 or last == 34 or last == 39


@hot_loop
def encode(codes: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """The characters as UTF-8."""
    utf8 = np.empty(4 * len(codes), np.uint8)
    size = 0
    for code in codes:
        if code < 0x80:
            utf8[size] = code
            size += 1
            continue
        if code < 0x800:
            utf8[size] = 0xC0 | code >> 6
            following = 1
        elif code < 0x10000:
            utf8[size] = 0xE0 | code >> 12
            following = 2
        else:
            utf8[size] = 0xF0 | code >> 18
            following = 3
        size += 1
        for number in range(following - 1, -1, -1):
            utf8[size] = 0x80 | (code >> np.uint32(6 * number)) & 0x3F
            size += 1
    return utf8[:size]
