"""The loops of a fastText classifier: its dictionary, a text's mean vector, its tree of labels.

Guarantee: rows are found and added in the order of fastText 0.9.2, in float32, so that results agree to the last digits
with the library's. Price: per byte of text about as many rows of the input matrix as the model has lengths of pieces.
"""

import numpy as np
from numpy.typing import NDArray

from batchwright.foundation.compiled import hot_loop

_LEFT, _RIGHT = 60, 62  # < and > stand around a word when it is cut into pieces
_END = np.frombuffer(b"</s>", np.uint8)
_LABEL = np.frombuffer(b"__label__", np.uint8)
_CONTINUES = 0x80  # 10xxxxxx: not the first byte of a character
_SMOOTHING = 1e-5  # what the library adds to every probability before its logarithm


@hot_loop
def hash_on(value: np.uint64, byte: np.uint8) -> np.uint64:
    """FNV-1a of one byte more; as in the library, bytes are signed."""
    widened = np.uint64(byte) | np.uint64(0xFFFFFF00) if byte >= 128 else np.uint64(byte)
    return ((np.uint64(value) ^ widened) * np.uint64(16777619)) & np.uint64(0xFFFFFFFF)


@hot_loop
def parse_entries(
    content: NDArray[np.uint8], first: int, entries: int, words: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.uint32], int]:
    """(where each entry's name starts, its length, its count, its hash, where the dictionary ends; −1: it does not)."""
    starts, lengths = np.zeros(entries, np.int64), np.zeros(entries, np.int64)
    counts, hashes = np.zeros(entries, np.int64), np.zeros(entries, np.uint32)
    place, size = first, len(content)
    for entry in range(entries):
        starts[entry] = place
        value = np.uint64(2166136261)
        while place < size and content[place] != 0:
            value = hash_on(value, content[place])
            place += 1
        lengths[entry] = place - starts[entry]
        hashes[entry] = value
        if place + 10 > size or content[place + 9] != (entry >= words):
            return starts, lengths, counts, hashes, -1
        for byte in range(8):
            counts[entry] |= np.int64(content[place + 1 + byte]) << np.int64(8 * byte)
        place += 10
    return starts, lengths, counts, hashes, place


@hot_loop
def build_table(hashes: NDArray[np.uint32], size: int) -> NDArray[np.int32]:
    """Entries by hash; `size` is a power of two and more than there are entries."""
    table = np.full(size, -1, np.int32)
    for entry in range(len(hashes)):
        slot = np.int64(hashes[entry]) & (size - 1)
        while table[slot] >= 0:
            slot = (slot + 1) & (size - 1)
        table[slot] = entry
    return table


@hot_loop
def _begins(text: NDArray[np.uint8], first: int, stop: int, name: NDArray[np.uint8]) -> bool:
    if stop - first < len(name):
        return False
    for place in range(len(name)):  # noqa: SIM110  (numba compiles no all())
        if text[first + place] != name[place]:
            return False
    return True


@hot_loop
def _entry_of(
    text: NDArray[np.uint8],
    first: int,
    stop: int,
    value: np.uint64,
    content: NDArray[np.uint8],
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    table: NDArray[np.int32],
) -> int:
    slot = np.int64(value) & (len(table) - 1)
    while table[slot] >= 0:
        entry = table[slot]
        start = starts[entry]
        if lengths[entry] == stop - first and _begins(text, first, stop, content[start : start + stop - first]):
            return entry
        slot = (slot + 1) & (len(table) - 1)
    return -1


@hot_loop
def _add(total: NDArray[np.float32], matrix: NDArray[np.float32], row: int | np.int64) -> None:
    for column in range(len(total)):
        total[column] += matrix[row, column]


@hot_loop
def _add_pieces(
    text: NDArray[np.uint8],
    first: int,
    stop: int,
    words: int,
    buckets: int,
    lengths: tuple[int, int],
    matrix: NDArray[np.float32],
    total: NDArray[np.float32],
) -> int:
    """Add the rows of all pieces of `lengths` characters of text[first:stop]; how many there were."""
    added = 0
    for start in range(first, stop):
        if text[start] & 0xC0 == _CONTINUES:
            continue
        value, place, characters = np.uint64(2166136261), start, 1
        while place < stop and characters <= lengths[1]:
            value = hash_on(value, text[place])
            place += 1
            while place < stop and text[place] & 0xC0 == _CONTINUES:
                value = hash_on(value, text[place])
                place += 1
            if characters >= lengths[0] and not (characters == 1 and (start == first or place == stop)):
                _add(total, matrix, words + np.int64(value % np.uint64(buckets)))
                added += 1
            characters += 1
    return added


@hot_loop
def mean_vector(
    text: NDArray[np.uint8],
    content: NDArray[np.uint8],
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    table: NDArray[np.int32],
    words: int,
    buckets: int,
    piece_lengths: tuple[int, int],
    word_ngrams: int,
    matrix: NDArray[np.float32],
) -> tuple[NDArray[np.float32], int]:
    """(the mean of a text's rows (D,), how many there were). `text` is between blanks, ends with " </s> ", and is
    written to.
    """
    total, added = np.zeros(matrix.shape[1], np.float32), 0
    seen, tokens = np.empty(len(text) // 2 + 1, np.int32), 0
    place, ended = 0, False
    while not ended:
        while text[place] == 32 or 9 <= text[place] <= 13 or text[place] == 0:
            place += 1
        first, value = place, np.uint64(2166136261)
        while not (text[place] == 32 or 9 <= text[place] <= 13 or text[place] == 0):
            value = hash_on(value, text[place])
            place += 1
        ended = place - first == len(_END) and _begins(text, first, place, _END)
        entry = _entry_of(text, first, place, value, content, starts, lengths, table)
        if entry >= words or (entry < 0 and _begins(text, first, place, _LABEL)):
            continue  # a label, and no part of the text
        seen[tokens] = np.int32(np.uint32(value))
        tokens += 1
        if entry >= 0:
            _add(total, matrix, entry)
            added += 1
        if not ended and buckets > 0:
            text[first - 1], text[place] = _LEFT, _RIGHT
            added += _add_pieces(text, first - 1, place + 1, words, buckets, piece_lengths, matrix, total)
            text[first - 1], text[place] = 32, 32
    if buckets > 0:
        for first in range(tokens):
            run = np.uint64(np.int64(seen[first]))
            for other in range(first + 1, min(tokens, first + word_ngrams)):
                run = run * np.uint64(116049371) + np.uint64(np.int64(seen[other]))
                _add(total, matrix, words + np.int64(run % np.uint64(buckets)))
                added += 1
    if added:
        total *= np.float32(1.0 / added)
    return total, added


@hot_loop
def label_tree(counts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The Huffman tree of hierarchical softmax: (left, right) child of each of its 2L − 1 nodes, leaves first."""
    leaves = len(counts)
    left, right = np.full(2 * leaves - 1, -1, np.int64), np.full(2 * leaves - 1, -1, np.int64)
    weight = np.full(2 * leaves - 1, np.int64(10**15), np.int64)
    weight[:leaves] = counts
    leaf, node = leaves - 1, leaves
    for parent in range(leaves, 2 * leaves - 1):
        for side in range(2):
            if leaf >= 0 and weight[leaf] < weight[node]:
                child, leaf = leaf, leaf - 1
            else:
                child, node = node, node + 1
            if side == 0:
                left[parent] = child
            else:
                right[parent] = child
        weight[parent] = weight[left[parent]] + weight[right[parent]]
    return left, right


@hot_loop
def tree_probabilities(
    scores: NDArray[np.float32], left: NDArray[np.int64], right: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(L,) from the scores of the inner nodes (L − 1 of them count); a parent's number is above its children's."""
    leaves = (len(left) + 1) // 2
    logarithms = np.zeros(len(left))
    for parent in range(len(left) - 1, leaves - 1, -1):
        share = 1.0 / (1.0 + np.exp(-np.float64(scores[parent - leaves])))
        logarithms[left[parent]] = logarithms[parent] + np.log(1.0 - share + _SMOOTHING)
        logarithms[right[parent]] = logarithms[parent] + np.log(share + _SMOOTHING)
    return np.exp(logarithms[:leaves])
