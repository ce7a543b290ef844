"""A set of small whole numbers with fast neighbours: the smallest member ≥ n, the largest ≤ n.

Two levels: a bit per number, and a bit per 64-bit word that is not empty. Price: a handful of instructions up to 4,096
numbers, one more word per further 4,096 that are empty in a row; numbers/8 bytes.
"""

import numpy as np
from numpy.typing import NDArray

from batchwright.foundation.compiled import hot_loop

_DE_BRUIJN = np.uint64(0x03F79D71B4CB0A89)
_ONE, _SHIFT = np.uint64(1), np.uint64(58)
_ALL = np.uint64(2**64 - 1)
_S1, _S2, _S4, _S8, _S16, _S32 = (np.uint64(1 << k) for k in range(6))
_BIT_OF = np.zeros(64, np.int64)
for _bit in range(64):
    _BIT_OF[((0x03F79D71B4CB0A89 << _bit) & (2**64 - 1)) >> 58] = _bit


@hot_loop
def empty_set(numbers: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """(bits, occupied) of a set of numbers from 0 to numbers - 1, holding none."""
    words = ((numbers - 1) >> 6) + 1
    return np.zeros(words, np.uint64), np.zeros(((words - 1) >> 6) + 1, np.uint64)


@hot_loop
def lowest_bit(word: np.uint64) -> int:
    """Number of the lowest set bit (de Bruijn multiplication; numba has no word for the instruction)."""
    lowest = word & (~word + _ONE)
    return _BIT_OF[np.int64((lowest * _DE_BRUIJN) >> _SHIFT)]


@hot_loop
def highest_bit(word: np.uint64) -> int:
    """Number of the highest set bit: everything below it is filled, then all but it taken away."""
    word |= word >> _S1
    word |= word >> _S2
    word |= word >> _S4
    word |= word >> _S8
    word |= word >> _S16
    word |= word >> _S32
    return _BIT_OF[np.int64(((word ^ (word >> _S1)) * _DE_BRUIJN) >> _SHIFT)]


@hot_loop
def put(bits: NDArray[np.uint64], occupied: NDArray[np.uint64], number: int) -> None:
    """Make a number a member."""
    word = number >> 6
    bits[word] |= _ONE << np.uint64(number & 63)
    occupied[word >> 6] |= _ONE << np.uint64(word & 63)


@hot_loop
def take(bits: NDArray[np.uint64], occupied: NDArray[np.uint64], number: int) -> None:
    """Make a number no member."""
    word = number >> 6
    bits[word] &= ~(_ONE << np.uint64(number & 63))
    if bits[word] == 0:
        occupied[word >> 6] &= ~(_ONE << np.uint64(word & 63))


@hot_loop
def next_bit(bits: NDArray[np.uint64], occupied: NDArray[np.uint64], number: int) -> int:
    """The smallest member ≥ number, or -1. `number` may be one past the last."""
    word = number >> 6
    if word >= bits.shape[0]:
        return -1
    rest = bits[word] >> np.uint64(number & 63)
    if rest != 0:
        return number + lowest_bit(rest)
    word += 1
    group = word >> 6
    if group >= occupied.shape[0]:
        return -1
    words = (occupied[group] >> np.uint64(word & 63)) << np.uint64(word & 63)
    while words == 0:
        group += 1
        if group >= occupied.shape[0]:
            return -1
        words = occupied[group]
    word = (group << 6) + lowest_bit(words)
    return (word << 6) + lowest_bit(bits[word])


@hot_loop
def previous_bit(bits: NDArray[np.uint64], occupied: NDArray[np.uint64], number: int) -> int:
    """The largest member ≤ number, or -1."""
    word = number >> 6
    rest = bits[word] & (_ALL >> np.uint64(63 - (number & 63)))
    if rest != 0:
        return (word << 6) + highest_bit(rest)
    word -= 1
    if word < 0:
        return -1
    group = word >> 6
    words = occupied[group] & (_ALL >> np.uint64(63 - (word & 63)))
    while words == 0:
        group -= 1
        if group < 0:
            return -1
        words = occupied[group]
    word = (group << 6) + highest_bit(words)
    return (word << 6) + highest_bit(bits[word])
