"""Prefetching: the same items, at most `depth` ahead, errors where they are asked for, no thread left behind."""

import threading
import time
from collections.abc import Iterator

import pytest

from batchwright.batches.prefetch import prefetched


def names() -> list[str]:
    return [thread.name for thread in threading.enumerate()]


def test_items_come_in_order_and_the_end_ends() -> None:
    assert list(prefetched(iter(range(50)), 3)) == list(range(50))


def test_at_most_depth_items_are_made_ahead() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            yield number

    ahead = prefetched(items(), 3)
    for number in range(10):
        assert next(ahead) == number
        deadline = time.monotonic() + 5
        while len(made) < number + 4 and time.monotonic() < deadline:
            time.sleep(0.001)
        assert len(made) == number + 4
    ahead.close()


def test_an_error_is_raised_where_the_item_is_asked_for() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("broken")

    ahead = prefetched(items(), 2)
    assert next(ahead) == 1
    with pytest.raises(ValueError, match="broken"):
        next(ahead)


def test_closing_ends_the_thread() -> None:
    ahead = prefetched(iter(range(10**9)), 2)
    next(ahead)
    assert "batchwright-prefetch" in names()
    ahead.close()
    assert "batchwright-prefetch" not in names()
