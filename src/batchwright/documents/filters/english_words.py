"""English text → words, as spaCy's blank English pipeline cuts it, by rules of our own in native loops.

    He said: "don't!" (see e.g. U.S.-made)     He said : " do n't ! " ( see e.g. U.S.-made )

1. White space divides the text into chunks. A chunk that is an exception ("don't", "e.g.", ":-)") is cut as listed.
2. Else prefixes and suffixes are cut off, outermost first, until none is left or the rest is an exception.
3. The rest is one word if it is a URL; else it divides at infixes ("well-known", "and/or" being an exception).
4. Adjacent words that together spell an exception after all become what the list says, the longest first.

Guarantee: the same words as spaCy 3.8; words lie end to end between white space, none is lost. One difference is known:
spaCy cannot represent the word "IS_ALPHA" and datatrove then deletes it from the text; here it is a word. Price: ~29 ns
per byte; nothing is remembered between texts, so unseen text costs no more; 25 bytes of memory per character while a
text is looked at.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from batchwright.documents.filters.affixes import infix_length, prefix_length, suffix_length
from batchwright.documents.filters.character_classes import (
    LETTER,
    PUNCTUATION,
    SENTENCE_END,
    SPACE,
    SYMBOL,
    UNSPACED,
    character_classes,
)
from batchwright.documents.filters.english_tables import (
    MOST_PARTS,
    EnglishTables,
    build_tables,
    exception_at,
    exception_of,
)
from batchwright.documents.filters.hashing import BASE, hash_span
from batchwright.documents.filters.respelled import merge_phrases
from batchwright.documents.filters.urls import is_url
from batchwright.foundation.compiled import hot_loop

NOT_SYMBOL = 1  # a character that is no symbol
HAS_LETTER = 2
ALL_PUNCTUATION = 4
ENDS_SENTENCE = 8

_STOP = 46


class Words(NamedTuple):
    """A text's characters and its words, in order: word w is codes[starts[w]:stops[w]]."""

    codes: NDArray[np.uint32]  # (characters,)
    starts: NDArray[np.int32]  # (words,)
    stops: NDArray[np.int32]  # (words,)
    hashes: NDArray[np.uint64]  # (words,)
    kinds: NDArray[np.uint8]  # (words,) NOT_SYMBOL, HAS_LETTER, ALL_PUNCTUATION, ENDS_SENTENCE


def english_words(utf8: bytes, *, unspaced: bool = False) -> Words:
    """The words of a text. `unspaced`: each character of a script without blanks between words is a word."""
    return read_words(np.frombuffer(utf8, np.uint8), character_classes(), english_tables(), unspaced)


@lru_cache(maxsize=1)
def english_tables() -> EnglishTables:
    """The tables of the English rules, made once."""
    return build_tables(split)


def split(text: str, tables: EnglishTables | None = None) -> list[str]:
    """The words as strings: for looking, and for making the tables."""
    utf8 = np.frombuffer(text.encode(), np.uint8)
    words = read_words(utf8, character_classes(), english_tables() if tables is None else tables, False)
    return [text[start:stop] for start, stop in zip(words.starts.tolist(), words.stops.tolist(), strict=True)]


@hot_loop
def decode(utf8: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """(characters,) code points of valid UTF-8."""
    codes = np.empty(len(utf8), np.uint32)
    count = place = 0
    while place < len(utf8):
        lead = np.uint32(utf8[place])
        if lead < 0x80:
            codes[count] = lead
            place += 1
        elif lead < 0xE0:
            codes[count] = (lead & 0x1F) << 6 | (utf8[place + 1] & 0x3F)
            place += 2
        elif lead < 0xF0:
            codes[count] = (lead & 0xF) << 12 | np.uint32(utf8[place + 1] & 0x3F) << 6 | (utf8[place + 2] & 0x3F)
            place += 3
        else:
            codes[count] = (
                (lead & 7) << 18
                | np.uint32(utf8[place + 1] & 0x3F) << 12
                | np.uint32(utf8[place + 2] & 0x3F) << 6
                | (utf8[place + 3] & 0x3F)
            )
            place += 4
        count += 1
    return codes[:count]


@hot_loop
def read_words(utf8: NDArray[np.uint8], classes: NDArray[np.uint32], tables: EnglishTables, unspaced: bool) -> Words:
    """The words of valid UTF-8."""
    return words_of_codes(decode(utf8), classes, tables, unspaced)


@hot_loop
def words_of_codes(
    codes: NDArray[np.uint32], classes: NDArray[np.uint32], tables: EnglishTables, unspaced: bool
) -> Words:
    """The words of characters."""
    starts, stops = np.empty(len(codes), np.int32), np.empty(len(codes), np.int32)
    hashes, kinds = np.empty(len(codes), np.uint64), np.empty(len(codes), np.uint8)
    cuts = np.empty(len(codes) + 1, np.int32)
    between = SPACE | UNSPACED if unspaced else SPACE
    count = place = 0
    while place < len(codes):
        kind = classes[codes[place]]
        if kind & SPACE:
            place += 1
            continue
        first, letters, key = place, True, np.uint64(0)
        while place < len(codes) and not classes[codes[place]] & between:
            letter = codes[place] | 32
            letters = letters and 97 <= letter <= 122
            key = key * np.uint64(BASE) + np.uint64(codes[place]) + np.uint64(1)
            place += 1
        if place == first:  # a character that is a word
            place += 1
            starts[count], stops[count] = first, place
        elif letters and exception_of(key, place - first, tables) < 0:
            starts[count], stops[count] = first, place  # no rule cuts plain letters
            hashes[count], kinds[count] = key, NOT_SYMBOL | HAS_LETTER
            count += 1
            continue
        else:
            known = count
            count = _cut(codes, first, place, classes, tables, starts, stops, count, cuts)
            describe(codes, classes, starts, stops, known, count, hashes, kinds)
            continue
        describe(codes, classes, starts, stops, count, count + 1, hashes, kinds)
        count += 1
    spelled = merge_phrases(codes, tables, starts, stops, hashes[:count])
    if spelled.shape[0]:
        count = spelled.shape[0]
        starts[:count], stops[:count] = spelled[:, 0], spelled[:, 1]
        describe(codes, classes, starts, stops, 0, count, hashes, kinds)
    return Words(codes, starts[:count], stops[:count], hashes[:count], kinds[:count])


@hot_loop
def _cut(
    codes: NDArray[np.uint32],
    first: int,
    stop: int,
    classes: NDArray[np.uint32],
    tables: EnglishTables,
    starts: NDArray[np.int32],
    stops: NDArray[np.int32],
    count: int,
    cuts: NDArray[np.int32],
) -> int:
    """Append the words of one chunk; return how many there are now. `cuts` gathers where suffixes begin."""
    end = stop
    suffixes = 0
    while first < stop:
        if exception_at(codes, first, stop, tables) >= 0:
            break
        prefix = prefix_length(codes, first, stop, classes)
        if prefix and first + prefix < stop and exception_at(codes, first + prefix, stop, tables) >= 0:
            starts[count], stops[count] = first, first + prefix
            count += 1
            first += prefix
            break
        suffix = suffix_length(codes, first + prefix, stop, classes, tables)
        if suffix and first < stop - suffix and exception_at(codes, first, stop - suffix, tables) >= 0:
            stop -= suffix
            cuts[suffixes] = stop
            suffixes += 1
            break
        if not prefix and not suffix:
            break
        if prefix:
            starts[count], stops[count] = first, first + prefix
            count += 1
            first += prefix
        if suffix:
            stop -= suffix
            cuts[suffixes] = stop
            suffixes += 1
    count = _divide(codes, first, stop, classes, tables, starts, stops, count)
    for number in range(suffixes - 1, -1, -1):
        starts[count] = cuts[number]
        stops[count] = cuts[number - 1] if number else end
        count += 1
    return count


@hot_loop
def _divide(
    codes: NDArray[np.uint32],
    first: int,
    stop: int,
    classes: NDArray[np.uint32],
    tables: EnglishTables,
    starts: NDArray[np.int32],
    stops: NDArray[np.int32],
    count: int,
) -> int:
    """Append what is left of a chunk without its affixes."""
    if first >= stop:
        return count
    slot = exception_at(codes, first, stop, tables)
    if slot >= 0:
        for part in range(MOST_PARTS):
            if tables.parts[slot, part] > 0:
                starts[count], stops[count] = first, first + tables.parts[slot, part]
                first += tables.parts[slot, part]
                count += 1
        return count
    dotted = False
    for place in range(first, stop):
        dotted = dotted or codes[place] == _STOP
    begin = place = first
    if not (dotted and is_url(codes, first, stop, classes)):
        while place < stop:
            length = infix_length(codes, place, first, stop, classes)
            if length and place > first:
                if begin < place:
                    starts[count], stops[count] = begin, place
                    count += 1
                starts[count], stops[count] = place, place + length
                count += 1
                begin = place + length
            place += max(length, 1)
    if begin < stop:
        starts[count], stops[count] = begin, stop
        count += 1
    return count


@hot_loop
def describe(
    codes: NDArray[np.uint32],
    classes: NDArray[np.uint32],
    starts: NDArray[np.int32],
    stops: NDArray[np.int32],
    begin: int,
    end: int,
    hashes: NDArray[np.uint64],
    kinds: NDArray[np.uint8],
) -> None:
    """Hash and kind of the words from `begin` up to `end`."""
    for word in range(begin, end):
        first, stop = starts[word], stops[word]
        hashes[word] = hash_span(codes, first, stop)
        some, every = np.uint32(0), np.uint32(0xFFFFFFFF)
        for place in range(first, stop):
            some |= classes[codes[place]]
            every &= classes[codes[place]]
        kind = 0
        if not every & SYMBOL:
            kind |= NOT_SYMBOL
        if some & LETTER:
            kind |= HAS_LETTER
        if every & PUNCTUATION:
            kind |= ALL_PUNCTUATION
        if stop - first == 1 and every & SENTENCE_END:
            kind |= ENDS_SENTENCE
        kinds[word] = kind
