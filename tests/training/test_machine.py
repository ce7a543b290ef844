"""What a run sets in torch is put back."""

import pytest
import torch
import torch.utils.deterministic

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
