"""The state of torch that a run needs, set while it lasts and put back afterwards.

Guarantee: on one machine, with one number of threads, the same recipe gives bit-identical weights: kernels that add
in an unspecified order are refused, and the thread count is recorded. Numbers too small for fp32's normal form count
as zero (they cost a CPU a hundred times a normal number, and begin to appear when a model has learnt something by
heart).

`keep_freed_memory` tells the C library to keep large blocks that are freed instead of returning them to the kernel:
otherwise every step asks for its activations anew, page by page. Measured on the tiny shape: 15–20 % more tokens per
CPU-second. Price: the process keeps its peak. Nothing happens where the C library is not glibc.
"""

import contextlib
import ctypes
from collections.abc import Generator
from typing import Any

import torch
import torch.utils.deterministic

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # glibc's names for mallopt, <malloc.h>
_LARGEST_MMAP_THRESHOLD = 32 * 2**20  # what glibc accepts on 64 bits
_strictness: Any = torch.utils.deterministic  # its one attribute is set by assignment and has no declared type


@contextlib.contextmanager
def deterministic(threads: int | None = None) -> Generator[int]:
    """Deterministic kernels on `threads` threads (None: as many as torch has now); gives the number."""
    was_mode, was_threads = torch.get_deterministic_debug_mode(), torch.get_num_threads()
    was_filling = _strictness.fill_uninitialized_memory
    keep_freed_memory()
    try:
        torch.set_flush_denormal(True)
        # What `use_deterministic_algorithms(True)` does, but for that function's import of the compiler: 1–2 seconds.
        torch.set_deterministic_debug_mode("error")
        # Filling fresh memory with NaN finds reads of what was never written; it costs a pass and changes no result.
        _strictness.fill_uninitialized_memory = False
        if threads is not None:
            torch.set_num_threads(threads)
        yield torch.get_num_threads()
    finally:
        torch.set_flush_denormal(False)
        torch.set_deterministic_debug_mode(was_mode)
        _strictness.fill_uninitialized_memory = was_filling
        torch.set_num_threads(was_threads)


def keep_freed_memory() -> None:
    """Let the process keep the memory that tensors free, for the next tensors."""
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(_TRIM_THRESHOLD, 2**30)
        library.mallopt(_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)
