"""Hashes of runs of characters: 64-bit polynomials, so that the hash of two runs end to end follows from their hashes.

    hash(c₁ … cₙ) = Σ (cᵢ + 1) · B^(n−i)  mod 2⁶⁴          hash(xy) = hash(x) · B^|y| + hash(y)

Guarantee: equal runs have equal hashes. Two different runs of one document meet by chance once in ~10¹³ documents of
1,000 words; a text built to make them meet can only make a filter count a repetition too many.
"""

import numpy as np
from numpy.typing import NDArray

from batchwright.foundation.compiled import hot_loop

BASE = 0x9E3779B97F4A7C15
_MIX = 0xD6E8FEB86659FD93


@hot_loop
def hash_span(codes: NDArray[np.uint32], first: int, stop: int) -> np.uint64:
    """The hash of codes[first:stop]."""
    value = np.uint64(0)
    for place in range(first, stop):
        value = value * np.uint64(BASE) + np.uint64(codes[place]) + np.uint64(1)
    return value


@hot_loop
def power(exponent: int) -> np.uint64:
    """BASE^exponent mod 2⁶⁴."""
    value, square, left = np.uint64(1), np.uint64(BASE), exponent
    while left > 0:
        if left & 1:
            value *= square
        square *= square
        left >>= 1
    return value


@hot_loop
def slot_of(keys: NDArray[np.uint64], key: np.uint64) -> int:
    """Where `key` is in a table of a power of two slots, or the empty slot (0) where it would go; 0 stands for 1."""
    mask = len(keys) - 1
    wanted = key + np.uint64(key == 0)
    mixed = (wanted ^ (wanted >> np.uint64(32))) * np.uint64(_MIX)
    slot = np.int64((mixed >> np.uint64(29)) & np.uint64(mask))
    while keys[slot] != 0 and keys[slot] != wanted:
        slot = (slot + 1) & mask
    return int(slot)


@hot_loop
def slots_for(count: int) -> int:
    """How many slots keep a table of `count` keys at most half full: a power of two."""
    slots = 16
    while slots < 2 * count:
        slots *= 2
    return slots


@hot_loop
def add(keys: NDArray[np.uint64], key: np.uint64) -> bool:
    """Put `key` into the set; whether it was there before."""
    slot = slot_of(keys, key)
    if keys[slot] != 0:
        return True
    keys[slot] = key + np.uint64(key == 0)
    return False
