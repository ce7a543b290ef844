"""What a run sets in torch is put back, and a second signal ends at once."""

import os
import signal
import threading

import pytest
import torch
import torch.utils.deterministic

from batchwright.training.interruption import Interruption
from batchwright.training.machine import deterministic


def test_everything_is_put_back_even_after_an_error() -> None:
    before = (torch.are_deterministic_algorithms_enabled(), torch.get_num_threads())

    def fail() -> None:
        with deterministic(2) as threads:
            assert threads == torch.get_num_threads() == 2
            assert torch.are_deterministic_algorithms_enabled()
            raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        fail()
    assert (torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()) == before


def test_the_first_signal_is_noted_and_the_second_ends_at_once() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Interruption() as interruption:
        assert not interruption.requested
        os.kill(os.getpid(), signal.SIGTERM)
        assert interruption.requested
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == before


def test_outside_the_main_thread_nothing_is_caught() -> None:
    before, seen = signal.getsignal(signal.SIGTERM), list[object]()

    def body() -> None:
        with Interruption():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert seen == [before]
