"""Who asks to stop, and how often."""

import os
import signal
import threading

import pytest

from batchwright.training import interruption
from batchwright.training.interruption import Interruption
from tests.training.fake_time import FakeTime


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    fake = FakeTime()
    monkeypatch.setattr(interruption, "time", fake)
    return fake


def test_the_same_wish_twice_is_one_and_a_second_ends_at_once(time: FakeTime) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Interruption() as asked:
        assert not asked.requested
        os.kill(os.getpid(), signal.SIGTERM)
        time.now = 0.9
        os.kill(os.getpid(), signal.SIGINT)
        assert asked.requested
        assert asked.signalled
        time.now = 1.0
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) == before


def test_time_that_is_up_is_a_request_and_no_signal(time: FakeTime) -> None:
    with Interruption(seconds=5.0) as asked:
        assert not asked.requested
        time.now = 5.0
        assert asked.requested
        assert not asked.signalled


def test_outside_the_main_thread_nothing_is_caught() -> None:
    before, seen = signal.getsignal(signal.SIGTERM), list[object]()

    def body() -> None:
        with Interruption():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert seen == [before]
