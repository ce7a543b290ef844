"""MinHash signatures of texts, straight from their UTF-8 bytes, in one pass.

    bytes ─▶ words ─▶ shingles ─▶ for each order p the least of (aₚ · shingle + bₚ) mod 2³²

A word is a longest run of letters, digits, combining marks and other numbers; everything else (blanks, punctuation,
symbols, underscores) only separates. Letters count in lower case, character by character. Each Han, kana, Thai, Lao,
Burmese or Khmer character is a word of its own. A shingle ends at every word: the last `shingle_words` words, or where
it ends in such a character the last `shingle_characters`. A text too short for any shingle is one shingle; a text
without words has none, and its signature is NOTHING throughout, like no other's.

    "The cat sat.  Then"   words the cat sat then   2-word shingles: the·cat cat·sat sat·then
    "貓坐 here"             words 貓 坐 here

Guarantee: equal words, equal signature; what is a letter follows the Unicode version of the interpreter. Two different
shingles meet by chance once in 2³². Price: ~180 MB of English text per CPU-second with 112 orders
(`python -m benchmarks.near_duplicates speed`); the table of characters is built once per process (~0.3 s, 4.5 MB).
"""

import unicodedata
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from batchwright.documents.filters.character_classes import CODE_POINTS, UNSPACED, character_classes
from batchwright.documents.near_duplicates import NearDuplicates
from batchwright.foundation.compiled import hot_loop
from batchwright.foundation.randomness import generator

NOTHING = 0xFFFFFFFF
ALONE = 1 << 31  # in the table: this character is a word
BASE = 0x9E3779B97F4A7C15
_WORD_BASE = 0x100000001B3
_MIX = 0xD6E8FEB86659FD93
_RING = 64  # more than the longest shingle, a power of two


@lru_cache(maxsize=1)
def word_characters() -> NDArray[np.uint32]:
    """(0x110000,) uint32: 0 where a character separates, else its lower case, with ALONE where it is a word itself."""
    table = np.zeros(CODE_POINTS, np.uint32)
    for code in range(0x40000):  # no letters beyond
        character = chr(code)
        if unicodedata.category(character)[0] in "LMN":
            lower = character.lower()
            table[code] = ord(lower) if len(lower) == 1 else code
    alone = (character_classes() & np.uint32(UNSPACED)) != 0
    table[alone & (table != 0)] |= np.uint32(ALONE)
    table.flags.writeable = False
    return table


def orders(settings: NearDuplicates) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """(factors aₚ, odd; terms bₚ) of all orders: x → a·x + b mod 2³² is a permutation."""
    stream = generator(settings.seed, "minhash")
    factors = stream.integers(0, 2**32, settings.permutations, np.uint32) | np.uint32(1)
    return factors, stream.integers(0, 2**32, settings.permutations, np.uint32)


def signatures_of(texts: Sequence[bytes], settings: NearDuplicates) -> NDArray[np.uint32]:
    """(texts, permutations) uint32."""
    out = np.full((len(texts), settings.permutations), NOTHING, np.uint32)
    ends = np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)))
    joined = np.frombuffer(b"".join(texts), np.uint8)
    _sign(joined, ends, word_characters(), settings.shingle_words, settings.shingle_characters, *orders(settings), out)
    return out


@hot_loop
def _sign(
    text: NDArray[np.uint8],
    ends: NDArray[np.int64],
    table: NDArray[np.uint32],
    words: int,
    characters: int,
    factors: NDArray[np.uint32],
    terms: NDArray[np.uint32],
    out: NDArray[np.uint32],
) -> None:
    """Write the signature of every text into its row of `out`."""
    # prefixes[n % RING] is the polynomial of the first n words: a shingle's is a difference of two.
    prefixes = np.zeros(_RING, np.uint64)
    power_words, power_characters = np.uint64(1), np.uint64(1)
    for _ in range(words):
        power_words *= np.uint64(BASE)
    for _ in range(characters):
        power_characters *= np.uint64(BASE)
    first = 0
    for number in range(len(ends)):
        stop, signature = ends[number], out[number]
        prefix, count, shingles = np.uint64(0), 0, 0
        prefixes[0] = prefix
        word, inside = np.uint64(0), False
        place = first
        while place <= stop:
            entry = np.uint32(0)  # the end of the text separates
            if place == stop:
                place += 1
            else:
                code = np.uint32(text[place])
                place += 1
                if code >= 0x80:
                    code, place = _rest_of(text, code, place, stop)
                entry = table[code]
            alone = entry >= ALONE
            if inside and (entry == 0 or alone):
                prefix = prefix * np.uint64(BASE) + word
                count += 1
                prefixes[count % _RING] = prefix
                inside = False
                if count >= words:
                    _least(signature, prefix - prefixes[(count - words) % _RING] * power_words, factors, terms)
                    shingles += 1
            if alone:
                prefix = prefix * np.uint64(BASE) + np.uint64(entry)
                count += 1
                prefixes[count % _RING] = prefix
                if count >= characters:
                    last = prefix - prefixes[(count - characters) % _RING] * power_characters
                    _least(signature, last, factors, terms)
                    shingles += 1
            elif entry != 0:
                if not inside:
                    word, inside = np.uint64(0), True
                word = (word + np.uint64(entry)) * np.uint64(_WORD_BASE)
                word ^= word >> np.uint64(29)
        if count > 0 and shingles == 0:
            _least(signature, prefix, factors, terms)
        first = stop


@hot_loop
def _rest_of(text: NDArray[np.uint8], lead: np.uint32, place: int, stop: int) -> tuple[np.uint32, int]:
    """(code point, place after it) of a character whose first byte was read; text is UTF-8."""
    width = 1 if lead < 0xE0 else (2 if lead < 0xF0 else 3)
    code = lead & (np.uint32(0x3F) >> np.uint32(width))
    for _ in range(width):
        if place < stop:
            code = np.uint32((code << np.uint32(6)) | np.uint32(text[place] & 0x3F))
            place += 1
    return np.uint32(min(code, np.uint32(CODE_POINTS - 1))), place


@hot_loop
def _least(
    signature: NDArray[np.uint32], shingle: np.uint64, factors: NDArray[np.uint32], terms: NDArray[np.uint32]
) -> None:
    """Let a shingle take part in every order."""
    mixed = (shingle ^ (shingle >> np.uint64(32))) * np.uint64(_MIX)
    x = np.uint32((mixed ^ (mixed >> np.uint64(32))) >> np.uint64(32))
    for p in range(len(signature)):
        signature[p] = min(signature[p], np.uint32(x * factors[p] + terms[p]))
