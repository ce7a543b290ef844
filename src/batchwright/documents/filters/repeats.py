"""How much of a text repeats: paragraphs, lines and n-grams, counted as Gopher's table A1 is read by datatrove 0.10.1.

A repeated n-gram of 5 or more words is compared without its blanks, and the words after it are skipped:

    a b c d e f | a b c d e | a b c d e        n = 5: the second and third "abcde" are repeats, 10 characters

A repeat, or its first occurrence, can only begin where the next 16 characters (blanks aside) occur again, so no other
place is looked up; places whose next n-gram is shorter than that always are. The bound on the most frequent n-gram is
exact, too: it occurs no more often than the most frequent (n−1)-gram.
"""

import numpy as np
from numpy.typing import NDArray

from batchwright.documents.filters.english_words import Words
from batchwright.documents.filters.hashing import BASE, add, hash_span, power, slot_of, slots_for
from batchwright.documents.filters.lines import left_strip, right_strip
from batchwright.foundation.compiled import hot_loop

_NEWLINE = 10
_WINDOW = 16  # characters
_GRAM_BASE = 0xC2B2AE3D27D4EB4F
_POWERS = 256


@hot_loop
def repeated_pieces(codes: NDArray[np.uint32], first: int, stop: int, newlines: int) -> tuple[int, int, int]:
    """(pieces, pieces seen before, their characters) of codes[first:stop], divided at runs of `newlines` or more."""
    count = 1
    place = first
    while place < stop:
        run = _newlines(codes, place, stop)
        if run >= newlines:
            count += 1
        place += max(run, 1)
    seen = np.zeros(slots_for(count), np.uint64)
    repeated = characters = 0
    begin = place = first
    while place <= stop:
        run = _newlines(codes, place, stop)
        if place == stop or run >= newlines:
            if add(seen, hash_span(codes, begin, place)):
                repeated += 1
                characters += place - begin
            begin = place + run
        place += max(run, 1)
    return count, repeated, characters


@hot_loop
def _newlines(codes: NDArray[np.uint32], first: int, stop: int) -> int:
    place = first
    while place < stop and codes[place] == _NEWLINE:
        place += 1
    return place - first


@hot_loop
def repeated_paragraphs(codes: NDArray[np.uint32], classes: NDArray[np.uint32]) -> tuple[int, int, int]:
    """(paragraphs, paragraphs seen before, their characters): pieces of the stripped text between blank lines."""
    first = left_strip(codes, 0, len(codes), classes)
    return repeated_pieces(codes, first, right_strip(codes, first, len(codes), classes), 2)


@hot_loop
def repeated_lines(codes: NDArray[np.uint32]) -> tuple[int, int, int]:
    """(lines, lines seen before, their characters): what stands between newlines, the text's empty ends included."""
    return repeated_pieces(codes, 0, len(codes), 1)


@hot_loop
def character_ends(words: Words) -> NDArray[np.int64]:
    """(words + 1,) the characters before each word, white space aside."""
    ends = np.zeros(len(words.starts) + 1, np.int64)
    for word in range(len(words.starts)):
        ends[word + 1] = ends[word] + words.stops[word] - words.starts[word]
    return ends


@hot_loop
def longest_gram(ends: NDArray[np.int64], n: int) -> int:
    """Characters of the longest n-gram, its words joined by blanks."""
    longest = 0
    for word in range(len(ends) - n):
        longest = max(longest, ends[word + n] - ends[word])
    return longest + n - 1


@hot_loop
def top_gram(words: Words, ends: NDArray[np.int64], n: int) -> tuple[int, int]:
    """(times, characters) of the most frequent n-gram; of several the one that occurs first."""
    grams = len(words.hashes) - n + 1
    if grams < 1:
        return 0, 0
    slots = slots_for(grams)
    seen, times, firsts = np.zeros(slots, np.uint64), np.zeros(slots, np.int32), np.zeros(slots, np.int32)
    most, where = 0, 0
    for word in range(grams):
        key = np.uint64(0)
        for part in range(n):
            key = (key ^ (key >> np.uint64(29))) * np.uint64(_GRAM_BASE) + words.hashes[word + part]
        slot = slot_of(seen, key)
        if seen[slot] == 0:
            seen[slot] = key + np.uint64(key == 0)
            firsts[slot] = word
        times[slot] += 1
        if times[slot] > most or (times[slot] == most and firsts[slot] < where):
            most, where = times[slot], firsts[slot]
    return most, ends[where + n] - ends[where] + n - 1


@hot_loop
def repeat_candidates(words: Words, ends: NDArray[np.int64], n: int) -> NDArray[np.int32]:
    """Words at which a repeated n-gram, or a longer one, or its first occurrence can begin, ascending."""
    count = len(words.starts)
    ink = np.empty(ends[count], np.uint32)
    for word in range(count):
        ink[ends[word] : ends[word + 1]] = words.codes[words.starts[word] : words.stops[word]]
    slots = slots_for(count)
    seen, times, where = np.zeros(slots, np.uint64), np.zeros(slots, np.int32), np.full(count, -1, np.int32)
    for word in range(count - n + 1):
        if ends[word + n] - ends[word] >= _WINDOW:
            key = hash_span(ink, ends[word], ends[word] + _WINDOW)
            slot = slot_of(seen, key)
            seen[slot] = key + np.uint64(key == 0)
            times[slot] += 1
            where[word] = slot
    found = 0
    candidates = np.empty(count, np.int32)
    for word in range(count - n + 1):
        if where[word] < 0 or times[where[word]] > 1:
            candidates[found] = word
            found += 1
    return candidates[:found]


@hot_loop
def gram_prefixes(words: Words, ends: NDArray[np.int64]) -> NDArray[np.uint64]:
    """(words + 1,) the hash of all characters before each word, white space aside."""
    prefixes = np.zeros(len(words.starts) + 1, np.uint64)
    powers = _powers()
    for word in range(len(words.starts)):
        length = ends[word + 1] - ends[word]
        prefixes[word + 1] = prefixes[word] * _power(powers, length) + words.hashes[word]
    return prefixes


@hot_loop
def _powers() -> NDArray[np.uint64]:
    powers = np.ones(_POWERS, np.uint64)
    for exponent in range(1, _POWERS):
        powers[exponent] = powers[exponent - 1] * np.uint64(BASE)
    return powers


@hot_loop
def _power(powers: NDArray[np.uint64], exponent: int) -> np.uint64:
    return powers[exponent] if exponent < _POWERS else power(exponent)


@hot_loop
def repeated_grams(candidates: NDArray[np.int32], prefixes: NDArray[np.uint64], ends: NDArray[np.int64], n: int) -> int:
    """Characters in n-grams that occurred before, each place counted once."""
    powers = _powers()
    seen = np.zeros(slots_for(len(candidates)), np.uint64)
    characters = free = 0
    for number in range(len(candidates)):
        word = int(candidates[number])
        if word < free or word + n >= len(ends):
            continue
        length = int(ends[word + n] - ends[word])
        if add(seen, np.uint64(prefixes[word + n] - prefixes[word] * _power(powers, length))):
            characters += length
            free = word + n
    return int(characters)
