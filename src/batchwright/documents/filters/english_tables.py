"""The tables that the loop over words looks into: exceptions, units, and exceptions that show up as several words.

A word such as "a." is an exception as a whole, but inside "vitamin-a." the rules have already made it two words. spaCy
therefore looks over the finished words again and replaces those that spell an exception. `phrases` is that list as a
trie: each exception that the rules alone would have cut, as the words they cut it into.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from batchwright.documents.filters.character_classes import UNITS
from batchwright.documents.filters.english_exceptions import EXCEPTIONS
from batchwright.documents.filters.hashing import hash_span, slot_of, slots_for
from batchwright.foundation.compiled import hot_loop

LONGEST_EXCEPTION = max(map(len, EXCEPTIONS))
LONGEST_UNIT = max(map(len, UNITS))
MOST_PARTS = max(map(len, EXCEPTIONS.values()))


class EnglishTables(NamedTuple):
    """Hash tables (a key of 0 is an empty slot) and the trie of phrases."""

    exceptions: NDArray[np.uint64]  # (slots,) keys
    parts: NDArray[np.int8]  # (slots, MOST_PARTS) characters of each part, then 0
    units: NDArray[np.uint64]  # (slots,) keys
    phrase_words: NDArray[np.uint64]  # (slots,) keys
    phrase_numbers: NDArray[np.int16]  # (slots,) number of each such word, from 1
    phrases: NDArray[np.int16]  # (nodes, numbers) the next node, 0 for none; node 0 is the beginning
    phrase_ends: NDArray[np.bool_]  # (nodes,) an exception ends here


def codes_of(text: str) -> NDArray[np.uint32]:
    """(characters,) uint32 code points."""
    return np.frombuffer(text.encode("utf-32-le"), np.uint32)


def key_of(text: str) -> np.uint64:
    """The hash under which a table holds `text`."""
    codes = codes_of(text)
    return np.uint64(hash_span(codes, 0, len(codes)))


def table_of(keys: Sequence[np.uint64]) -> tuple[NDArray[np.uint64], list[int]]:
    """(the slots, where each key went)."""
    slots = np.zeros(slots_for(2 * len(keys)), np.uint64)
    places: list[int] = []
    for key in keys:
        place = slot_of(slots, key)
        slots[place] = key
        places.append(place)
    return slots, places


def build_tables(split: Callable[[str, EnglishTables], list[str]]) -> EnglishTables:
    """The tables; `split` cuts a text into words by rules alone when the tables are empty."""
    units, _ = table_of([key_of(unit) for unit in UNITS])
    by_rules = EnglishTables(
        exceptions=np.zeros(16, np.uint64),
        parts=np.zeros((16, MOST_PARTS), np.int8),
        units=units,
        phrase_words=np.zeros(16, np.uint64),
        phrase_numbers=np.zeros(16, np.int16),
        phrases=np.zeros((1, 1), np.int16),
        phrase_ends=np.zeros(1, np.bool_),
    )
    cut = {text: split(text, by_rules) for text in EXCEPTIONS}
    exceptions, places = table_of([key_of(text) for text in EXCEPTIONS])
    parts = np.zeros((len(exceptions), MOST_PARTS), np.int8)
    for place, split_parts in zip(places, EXCEPTIONS.values(), strict=True):
        parts[place, : len(split_parts)] = list(map(len, split_parts))
    return by_rules._replace(
        exceptions=exceptions, parts=parts, **_trie([words for words in cut.values() if len(words) > 1])
    )


def _trie(phrases: Iterable[Sequence[str]]) -> dict[str, NDArray[np.generic]]:
    words = sorted({word for phrase in phrases for word in phrase})
    numbers = {word: number for number, word in enumerate(words, 1)}
    nodes: list[dict[int, int]] = [{}]
    ends: set[int] = set()
    for phrase in phrases:
        node = 0
        for word in phrase:
            if numbers[word] not in nodes[node]:
                nodes[node][numbers[word]] = len(nodes)
                nodes.append({})
            node = nodes[node][numbers[word]]
        ends.add(node)
    table = np.zeros((len(nodes), len(words) + 1), np.int16)
    for node, following in enumerate(nodes):
        for number, after in following.items():
            table[node, number] = after
    slots, places = table_of([key_of(word) for word in words])
    phrase_numbers = np.zeros(len(slots), np.int16)
    phrase_numbers[places] = np.arange(1, len(words) + 1)
    phrase_ends = np.zeros(len(nodes), np.bool_)
    phrase_ends[list(ends)] = True
    return {
        "phrase_words": slots,
        "phrase_numbers": phrase_numbers,
        "phrases": table,
        "phrase_ends": phrase_ends,
    }


@hot_loop
def exception_at(codes: NDArray[np.uint32], first: int, stop: int, tables: EnglishTables) -> int:
    """The slot of the exception that codes[first:stop] is, or −1."""
    if stop - first > LONGEST_EXCEPTION:
        return -1
    return exception_of(hash_span(codes, first, stop), stop - first, tables)


@hot_loop
def exception_of(key: np.uint64, length: int, tables: EnglishTables) -> int:
    """The slot of the exception of `length` characters with this hash, or −1."""
    if length > LONGEST_EXCEPTION:
        return -1
    slot = slot_of(tables.exceptions, key)
    return slot if tables.exceptions[slot] != 0 else -1
