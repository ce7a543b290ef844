"""Words that the rules have cut and that together spell an exception after all: "vitamin-a." ends in the word "a.".

    vitamin - a .     →     vitamin - a.        the longest match first, of equals the first in the text

Guarantee: what spaCy's last pass over a text does (tokenizer.pyx, `_apply_special_cases`). Price: ~3 ns per word.
"""

import numpy as np
from numpy.typing import NDArray

from batchwright.documents.filters.english_tables import MOST_PARTS, EnglishTables, exception_at
from batchwright.documents.filters.hashing import slot_of
from batchwright.foundation.compiled import hot_loop

_BLANK = 32


@hot_loop
def merge_phrases(
    codes: NDArray[np.uint32],
    tables: EnglishTables,
    starts: NDArray[np.int32],
    stops: NDArray[np.int32],
    hashes: NDArray[np.uint64],
) -> NDArray[np.int32]:
    """(words, 2) the words after exceptions were found again among them, or (0, 2) when nothing changes.

    Words with one blank between them also match, as in the original; they stay as they are, but what overlaps them and
    is shorter stays, too.
    """
    count = len(hashes)
    nothing = np.empty((0, 2), np.int32)
    if len(tables.phrases) < 2:
        return nothing
    numbers = np.zeros(count, np.int16)
    candidates = 0
    for word in range(count):
        slot = slot_of(tables.phrase_words, hashes[word])
        if tables.phrase_words[slot] != 0:
            numbers[word] = tables.phrase_numbers[slot]
            candidates += 1
    if candidates < 2:
        return nothing
    lengths = np.zeros(count, np.int16)
    total = longest = 0
    firsts, sizes = np.empty(4 * candidates, np.int32), np.empty(4 * candidates, np.int32)
    for word in range(count):
        if not numbers[word] or not tables.phrases[0, numbers[word]]:
            continue
        node, last = 0, word
        while last < count and numbers[last]:
            if last > word and not _adjacent(codes, stops[last - 1], starts[last]):
                break
            node = tables.phrases[node, numbers[last]]
            if node == 0:
                break
            last += 1
            if tables.phrase_ends[node] and total < len(firsts):
                firsts[total], sizes[total] = word, last - word
                longest = max(longest, last - word)
                total += 1
    if not total:
        return nothing
    return _replaced(codes, tables, starts, stops, count, firsts[:total], sizes[:total], longest, lengths)


@hot_loop
def _adjacent(codes: NDArray[np.uint32], stop: int, start: int) -> bool:
    """Whether nothing or a single blank lies between two words."""
    return stop == start or (start - stop == 1 and codes[stop] == _BLANK)


@hot_loop
def _replaced(
    codes: NDArray[np.uint32],
    tables: EnglishTables,
    starts: NDArray[np.int32],
    stops: NDArray[np.int32],
    count: int,
    firsts: NDArray[np.int32],
    sizes: NDArray[np.int32],
    longest: int,
    chosen: NDArray[np.int16],
) -> NDArray[np.int32]:
    taken = np.zeros(count, np.bool_)
    for size in range(longest, 0, -1):
        for number in range(len(firsts)):
            if sizes[number] != size:
                continue
            first = firsts[number]
            if not taken[first] and not taken[first + size - 1]:
                chosen[first] = size
            taken[first : first + size] = True
    words = np.empty((len(codes), 2), np.int32)
    written, word, changed = 0, 0, False
    while word < count:
        size = int(chosen[word])
        slot = exception_at(codes, starts[word], stops[word + size - 1], tables) if size else -1
        if slot < 0:
            words[written, 0], words[written, 1] = starts[word], stops[word]
            written, word = written + 1, word + 1
            continue
        place = starts[word]
        for part in range(MOST_PARTS):
            if tables.parts[slot, part] > 0:
                words[written, 0], words[written, 1] = place, place + tables.parts[slot, part]
                place += tables.parts[slot, part]
                written += 1
        word, changed = word + size, True
    return words[:written] if changed else np.empty((0, 2), np.int32)
