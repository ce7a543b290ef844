"""Runs of words that texts share: the hashes of all runs of one length, and a search for them in any text.

    words    the quick brown fox jumps          length 3
    runs     h(the quick brown) h(quick brown fox) h(brown fox jumps)     one multiplication each: rolled along

Guarantee: every shared run is found, as a set of tuples of words would find it (the twin in the tests); one that is not
there with probability runs × runs / 2⁶⁴. What a word is: see `decontamination`. Price: ~140 MB of text per CPU-second;
11 bytes per known run, 24 bytes per word of the text that is looked at.
"""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from batchwright.foundation.compiled import hot_loop

_UNSPACED = (
    (0x0E00, 0x0F00),  # Thai, Lao
    (0x1000, 0x10A0),  # Burmese
    (0x1780, 0x1800),  # Khmer
    (0x3040, 0x3100),  # kana
    (0x3400, 0xA000),  # ideographs
    (0xF900, 0xFB00),
    (0x20000, 0x32400),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class WordRuns:
    """Hashes of runs of words, sorted, with the number of the first file that each is from."""

    words: int
    hashes: NDArray[np.uint64]
    files: NDArray[np.uint16]
    sieve: NDArray[np.uint8]  # one bit per leading bits of a hash: most runs of most texts end here

    @classmethod
    def of(cls, sources: Iterable[Iterable[bytes]], words: int) -> "tuple[WordRuns, list[int]]":
        """(runs of all texts of all sources, how many each source has)."""
        parts = [[run_hashes(words_of(lowered(text))[0], words) for text in texts] for texts in sources]
        counts = [sum(map(len, part)) for part in parts]
        hashes = np.concatenate([np.empty(0, np.uint64), *(each for part in parts for each in part)])
        unique, first = np.unique(hashes, return_index=True)
        files = np.repeat(np.arange(len(counts), dtype=np.uint16), counts)[first]
        return cls(words=words, hashes=unique, files=files, sieve=_sieve(unique)), counts

    def first_in(self, utf8: bytes) -> tuple[int, str] | None:
        """(file, words) of the first run that a text shares, or None."""
        text = lowered(utf8)
        hashes, bounds = words_of(text)
        place, entry = find(hashes, self.words, self.hashes, self.sieve)
        if place < 0:
            return None
        shared = text[bounds[place, 0] : bounds[place + self.words - 1, 1]].decode()
        return int(self.files[entry]), " ".join(shared.split())


def _sieve(hashes: NDArray[np.uint64]) -> NDArray[np.uint8]:
    bits = max(16, int(np.ceil(np.log2(len(hashes) + 1))) + 4)
    sieve = np.zeros(1 << (bits - 3), np.uint8)
    heads = hashes >> np.uint64(64 - bits)
    np.bitwise_or.at(sieve, heads >> np.uint64(3), np.left_shift(np.uint8(1), (heads & np.uint64(7)).astype(np.uint8)))
    return sieve


def lowered(utf8: bytes) -> bytes:
    """The text in the form in which words are compared."""
    return utf8.lower() if utf8.isascii() else unicodedata.normalize("NFC", utf8.decode().lower()).encode()


def words_of(text: bytes) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """(hashes, (n, 2) first and last byte) of a text's words."""
    raw = np.frombuffer(text, np.uint8)
    hashes, bounds = np.empty(len(raw), np.uint64), np.empty((len(raw), 2), np.int64)
    count = split(raw, _kinds(), hashes, bounds)
    return hashes[:count], bounds[:count]


@cache
def _kinds() -> NDArray[np.uint8]:
    """(0x110000,) 0 between words, 1 in a word, 2 a word by itself."""
    kinds = np.fromiter((chr(code).isalnum() for code in range(0x110000)), np.uint8, 0x110000)
    marks = [code for code in range(0x300, 0x1F000) if unicodedata.category(chr(code)) in ("Mn", "Mc")]
    kinds[marks] = 1  # vowel signs of Indic scripts stand within words
    for first, stop in _UNSPACED:
        kinds[first:stop] *= 2
    return kinds


@hot_loop
def split(
    text: NDArray[np.uint8], kinds: NDArray[np.uint8], hashes: NDArray[np.uint64], bounds: NDArray[np.int64]
) -> int:
    """Write down the words of a text; how many there are."""
    count = 0
    inside = False
    value = np.uint64(0)
    i = 0
    while i < text.shape[0]:
        byte = int(text[i])
        size = 1 if byte < 0x80 else 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
        code = byte if size == 1 else byte & (0xFF >> (size + 1))
        for j in range(i + 1, min(i + size, text.shape[0])):
            code = (code << 6) | (int(text[j]) & 0x3F)
        kind = kinds[code] if code < kinds.shape[0] else 0
        if inside and kind != 1:
            hashes[count] = value
            bounds[count, 1] = i
            count += 1
            inside = False
        if kind != 0:
            if not inside:
                value = np.uint64(0xCBF29CE484222325)
                bounds[count, 0] = i
            value = (value ^ np.uint64(code)) * np.uint64(0x9E3779B97F4A7C15)
            value ^= value >> np.uint64(29)
            inside = kind == 1
            if kind == 2:
                hashes[count] = value
                bounds[count, 1] = min(i + size, text.shape[0])
                count += 1
        i += size
    if inside:
        hashes[count] = value
        bounds[count, 1] = text.shape[0]
        count += 1
    return count


_BASE = np.uint64(0xD6E8FEB86659FD93)


@hot_loop
def mixed(value: np.uint64) -> np.uint64:
    """Leading bits that depend on all bits."""
    value = (value ^ (value >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    return value ^ (value >> np.uint64(29))


@hot_loop
def run_hashes(words: NDArray[np.uint64], length: int) -> NDArray[np.uint64]:
    """(max(0, n − length + 1),) uint64: the hash of every run, rolled along."""
    count = max(0, words.shape[0] - length + 1)
    out = np.empty(count, np.uint64)
    power = np.uint64(1)
    for _ in range(length):
        power *= _BASE
    value = np.uint64(0)
    for i in range(words.shape[0]):
        value = value * _BASE + words[i]
        if i >= length:
            value -= words[i - length] * power
        if i >= length - 1:
            out[i - length + 1] = mixed(value)
    return out


@hot_loop
def find(
    words: NDArray[np.uint64], length: int, known: NDArray[np.uint64], sieve: NDArray[np.uint8]
) -> tuple[int, int]:
    """(place of the first run that is known, its number among them), or (-1, -1)."""
    shift = np.uint64(64)
    size = sieve.shape[0] * 8
    while size > 1:
        size >>= 1
        shift -= np.uint64(1)
    runs = run_hashes(words, length)
    for i in range(runs.shape[0]):
        head = runs[i] >> shift
        if (sieve[np.int64(head >> np.uint64(3))] >> np.uint8(head & np.uint64(7))) & 1:
            low, high = 0, known.shape[0]
            while low < high:
                middle = (low + high) // 2
                if known[middle] < runs[i]:
                    low = middle + 1
                else:
                    high = middle
            if low < known.shape[0] and known[low] == runs[i]:
                return i, low
    return -1, -1
