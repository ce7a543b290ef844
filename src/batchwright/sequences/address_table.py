"""Many arrays of one dtype seen by one compiled loop: their addresses in a table.

Guarantee: a loop compiled once serves any number of shards, with no list of arrays to unbox and nothing allocated per
call. Price: the loop reads raw memory, so whoever calls `view_at` has checked its bounds against `firsts`; the table
keeps its arrays (memory maps) alive.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numba import carray, types  # type: ignore[import-untyped]
from numba.core import cgutils  # type: ignore[import-untyped]
from numba.extending import intrinsic  # type: ignore[import-untyped]
from numpy.typing import NDArray

from batchwright.foundation.compiled import hot_loop

_numba_carray = cast("Any", carray)


def _declare_pointer(typing_context: Any, address: Any) -> Any:
    """int64 → void pointer, which Python has no word for."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], cast("Any", cgutils).voidptr_t)

    return cast("Any", types).voidptr(address), generate


_pointer = cast("Any", intrinsic)(_declare_pointer)


def _declare_load(kind: Any) -> Any:
    """int64 → the item of this kind that lies there."""

    def declare(typing_context: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            pointer = context.get_data_type(kind).as_pointer()
            return builder.load(builder.inttoptr(arguments[0], pointer))

        return kind(address), generate

    return cast("Any", intrinsic)(declare)


_load_i8, _load_i4, _load_u1 = (
    _declare_load(kind) for kind in (cast("Any", types).int64, cast("Any", types).int32, cast("Any", types).uint8)
)


@hot_loop
def i8_at(address: int, item: int) -> int:
    """Item `item` of the int64 that lie from `address` on; no check. Numbers alone: a loop that asks for one item here
    and one there would spend its time on counting references to arrays."""
    return np.int64(_load_i8(address + 8 * item))  # pyright: ignore[reportReturnType]


@hot_loop
def i4_at(address: int, item: int) -> int:
    """The same for int32."""
    return np.int64(_load_i4(address + 4 * item))  # pyright: ignore[reportReturnType]


@hot_loop
def u1_at(address: int, item: int) -> int:
    """The same for uint8."""
    return np.int64(_load_u1(address + item))  # pyright: ignore[reportReturnType]


@hot_loop
def view_at(address: int, first: int, count: int, like: NDArray[Any]) -> NDArray[Any]:
    """(count,) items of `like`'s dtype, beginning `first` items after `address`; no copy, no check."""
    return _numba_carray(_pointer(address + first * like.itemsize), (count,), like.dtype)


@hot_loop
def array_between(firsts: NDArray[np.int64], item: int, low: int, high: int) -> int:
    """`array_at` where the array is known to be one of low … high-1."""
    while high - low > 1:
        middle = (low + high) >> 1
        if firsts[middle] <= item:
            low = middle
        else:
            high = middle
    return low


@hot_loop
def array_at(firsts: NDArray[np.int64], item: int) -> int:
    """Which of the arrays laid end to end holds an item: the largest k with firsts[k] ≤ item."""
    return array_between(firsts, item, 0, firsts.shape[0] - 1)


@dataclass(frozen=True, kw_only=True, eq=False)
class AddressTable:
    """`addresses[k]` and `firsts[k]`: where array k lies in memory, and its first item when all are laid end to end
    (`firsts` has one entry more: the total)."""

    arrays: tuple[NDArray[Any], ...]
    addresses: NDArray[np.int64]
    firsts: NDArray[np.int64]
    like: NDArray[Any]

    @classmethod
    def of(cls, arrays: Sequence[NDArray[Any]]) -> "AddressTable":
        """A table over one-dimensional contiguous arrays of one dtype."""
        kept = tuple(arrays)
        if not kept or any(a.dtype != kept[0].dtype or a.ndim != 1 or not a.flags.c_contiguous for a in kept):
            raise ValueError("an address table needs one-dimensional contiguous arrays of one dtype")
        firsts = np.zeros(len(kept) + 1, np.int64)
        np.cumsum([a.shape[0] for a in kept], out=firsts[1:])
        return cls(
            arrays=kept,
            addresses=np.array([a.ctypes.data for a in kept], np.int64),
            firsts=firsts,
            like=np.empty(0, kept[0].dtype),
        )
