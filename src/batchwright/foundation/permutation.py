"""A keyed bijection on [0, size): shuffled order of any length without a table.

Guarantee: `forward` is a permutation of [0, size) for every size from 1 to 2**62 and every key, `inverse` undoes it,
and both are pure functions of (size, key, index). Price: ~9 ns per index, no memory, at any size. When all indices
are wanted at once and fit in memory, numpy's `permutation` costs the same and needs no proof.

Construction: a Feistel network of four rounds over the smallest 2^bits ≥ size, split into a left and a right half
(they may differ by one bit), with murmur3's 64-bit finaliser of (half xor round key) as round function, because
weaker ones measurably stratify the order. Where the image falls outside [0, size) the network is applied again (cycle
walking, Black & Rogaway 2002): on average fewer than two times.

    size = 10 → 4 bits, halves of 2:   7 = 01|11 → four rounds → 12 ≥ 10 → four rounds → 3
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from batchwright.foundation.compiled import hot_loop
from batchwright.foundation.errors import InputError

ROUNDS = 4
LARGEST_SIZE = 2**62
_MASK = 2**64 - 1
_M1 = 0xFF51AFD7ED558CCD
_M2 = 0xC4CEB9FE1A85EC53
_GOLDEN = 0x9E3779B97F4A7C15
_U33 = np.uint64(33)
_UM1 = np.uint64(_M1)
_UM2 = np.uint64(_M2)
_U1 = np.uint64(1)


@hot_loop
def _mix(value: np.uint64) -> np.uint64:
    value ^= value >> _U33
    value *= _UM1
    value ^= value >> _U33
    value *= _UM2
    return value ^ (value >> _U33)


@hot_loop
def permute_one(index: int, size: int, right_bits: int, left_bits: int, keys: NDArray[np.uint64]) -> int:
    """Image of one index; the building block for other hot loops. `keys` is `KeyedPermutation.round_keys`."""
    rb, lb = np.uint64(right_bits), np.uint64(left_bits)
    right_mask, left_mask = (_U1 << rb) - _U1, (_U1 << lb) - _U1
    limit, x = np.uint64(size), np.uint64(index)
    while True:
        left, right = x >> rb, x & right_mask
        for r in range(0, ROUNDS, 2):
            left ^= _mix(right ^ keys[r]) & left_mask
            right ^= _mix(left ^ keys[r + 1]) & right_mask
        x = (left << rb) | right
        if x < limit:
            # int() would stay unsigned in numba, where unsigned + int64 is a float.
            return np.int64(x)  # pyright: ignore[reportReturnType]


@hot_loop
def restore_one(image: int, size: int, right_bits: int, left_bits: int, keys: NDArray[np.uint64]) -> int:
    """The index whose image this is: the rounds of `permute_one` backwards."""
    rb, lb = np.uint64(right_bits), np.uint64(left_bits)
    right_mask, left_mask = (_U1 << rb) - _U1, (_U1 << lb) - _U1
    limit, x = np.uint64(size), np.uint64(image)
    while True:
        left, right = x >> rb, x & right_mask
        for r in range(ROUNDS - 2, -1, -2):
            right ^= _mix(left ^ keys[r + 1]) & right_mask
            left ^= _mix(right ^ keys[r]) & left_mask
        x = (left << rb) | right
        if x < limit:
            # int() would stay unsigned in numba, where unsigned + int64 is a float.
            return np.int64(x)  # pyright: ignore[reportReturnType]


@hot_loop
def _permute_range(
    start: int, size: int, right_bits: int, left_bits: int, keys: NDArray[np.uint64], out: NDArray[np.int64]
) -> None:
    for i in range(out.shape[0]):
        out[i] = permute_one(start + i, size, right_bits, left_bits, keys)


@hot_loop
def _restore_array(
    images: NDArray[np.int64],
    size: int,
    right_bits: int,
    left_bits: int,
    keys: NDArray[np.uint64],
    out: NDArray[np.int64],
) -> None:
    for i in range(out.shape[0]):
        out[i] = restore_one(images[i], size, right_bits, left_bits, keys)


@hot_loop
def _permute_array(
    indices: NDArray[np.int64],
    size: int,
    right_bits: int,
    left_bits: int,
    keys: NDArray[np.uint64],
    out: NDArray[np.int64],
) -> None:
    for i in range(out.shape[0]):
        out[i] = permute_one(indices[i], size, right_bits, left_bits, keys)


@dataclass(frozen=True, kw_only=True)
class KeyedPermutation:
    """The bijection of [0, size) that belongs to a 64-bit key.

    Raises InputError for a size outside 1 … 2**62 and IndexError for an index outside [0, size).
    """

    size: int
    key: int

    def __post_init__(self) -> None:
        if not 1 <= self.size <= LARGEST_SIZE:
            raise InputError(f"a permutation needs a size from 1 to 2**62, not {self.size}")
        if not 0 <= self.key <= _MASK:
            raise InputError(f"a permutation's key is a 64-bit number, not {self.key}")

    @cached_property
    def right_bits(self) -> int:
        return self._bits - self._bits // 2

    @cached_property
    def left_bits(self) -> int:
        return self._bits // 2

    @property
    def _bits(self) -> int:
        # At least two bits, so that both halves exist.
        return max(2, (self.size - 1).bit_length())

    @cached_property
    def round_keys(self) -> NDArray[np.uint64]:
        """(4,) uint64: one key per round, drawn from the key by a Weyl sequence through the mixer."""
        return np.array([_mix_reference(self.key + _GOLDEN * (r + 1)) for r in range(ROUNDS)], np.uint64)

    def forward(self, index: int) -> int:
        """Where the index goes."""
        self._check(index, index)
        return int(permute_one(index, self.size, self.right_bits, self.left_bits, self.round_keys))

    def inverse(self, image: int) -> int:
        """Where the image came from."""
        self._check(image, image)
        return int(restore_one(image, self.size, self.right_bits, self.left_bits, self.round_keys))

    def forward_range(self, start: int, count: int) -> NDArray[np.int64]:
        """(count,) int64: the images of start, start + 1, …"""
        if count:
            self._check(start, start + count - 1)
        out = np.empty(count, np.int64)
        _permute_range(start, self.size, self.right_bits, self.left_bits, self.round_keys, out)
        return out

    def forward_array(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """(N,) int64 → (N,) int64 images."""
        return self._map(indices, inverse=False)

    def inverse_array(self, images: NDArray[np.int64]) -> NDArray[np.int64]:
        """(N,) int64 → (N,) int64 indices."""
        return self._map(images, inverse=True)

    def _map(self, values: NDArray[np.int64], *, inverse: bool) -> NDArray[np.int64]:
        values = np.ascontiguousarray(values, np.int64)
        out = np.empty_like(values)
        if values.size:
            self._check(int(values.min()), int(values.max()))
            loop = _restore_array if inverse else _permute_array
            loop(values, self.size, self.right_bits, self.left_bits, self.round_keys, out)
        return out

    def _check(self, lowest: int, highest: int) -> None:
        if lowest < 0 or highest >= self.size:
            raise IndexError(f"{lowest if lowest < 0 else highest} is outside [0, {self.size})")


def _mix_reference(value: int) -> int:
    value &= _MASK
    value ^= value >> 33
    value = (value * _M1) & _MASK
    value ^= value >> 33
    value = (value * _M2) & _MASK
    return value ^ (value >> 33)


def permute_reference(permutation: KeyedPermutation, index: int) -> int:
    """`forward` in Python's own integers: the twin that the compiled loop is tested against, and its definition."""
    rb, lb = permutation.right_bits, permutation.left_bits
    keys = [_mix_reference(permutation.key + _GOLDEN * (r + 1)) for r in range(ROUNDS)]
    while True:
        left, right = index >> rb, index & ((1 << rb) - 1)
        for r in range(0, ROUNDS, 2):
            left ^= _mix_reference(right ^ keys[r]) & ((1 << lb) - 1)
            right ^= _mix_reference(left ^ keys[r + 1]) & ((1 << rb) - 1)
        index = (left << rb) | right
        if index < permutation.size:
            return index
