"""The one decorator of the hot loops: compiled by numba, without the interpreter lock, cached on disk.

Price: importing numba takes ~0.4 s, so modules that use it are imported where the work begins, never by the façade or
`--help`. The first call on a machine compiles (seconds); later processes load the cached machine code (milliseconds).
"""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

from numba import njit  # type: ignore[import-untyped]  # numba publishes no types
from numba.core import entrypoints  # type: ignore[import-untyped]

from batchwright.foundation.own_process import is_own_process

if is_own_process():
    entrypoints._already_initialized = True  # pyright: ignore[reportPrivateUsage]

P = ParamSpec("P")
R = TypeVar("R")


def hot_loop(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a loop; to the type checker it stays the function it was. The Python original is `plain(function)`."""
    compiled: Any = njit(nogil=True, cache=True)(function)
    return cast("Callable[P, R]", compiled)


def plain(function: Callable[P, R]) -> Callable[P, R]:
    """The Python function behind a hot loop, for tests that run both."""
    return cast("Callable[P, R]", cast("Any", function).py_func)
