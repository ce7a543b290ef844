import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchwright.foundation.errors import InputError
from batchwright.foundation.permutation import KeyedPermutation, permute_reference

keys = st.integers(0, 2**64 - 1)


@settings(max_examples=200)
@given(st.integers(1, 3000), keys)
def test_every_size_is_permuted_and_restored(size: int, key: int):
    permutation = KeyedPermutation(size=size, key=key)
    images = permutation.forward_range(0, size)
    assert np.array_equal(np.sort(images), np.arange(size))
    assert np.array_equal(permutation.inverse_array(images), np.arange(size))


@settings(max_examples=300)
@given(st.integers(1, 2**62), keys, st.data())
def test_the_compiled_loop_is_its_python_twin(size: int, key: int, data: st.DataObject):
    permutation = KeyedPermutation(size=size, key=key)
    index = data.draw(st.integers(0, size - 1))
    image = permutation.forward(index)
    assert image == permute_reference(permutation, index)
    assert permutation.inverse(image) == index


def test_the_order_never_changes_between_versions():
    assert KeyedPermutation(size=10, key=1).forward_range(0, 10).tolist() == [0, 2, 9, 4, 8, 7, 1, 5, 6, 3]


def spread_over_iid(order, seeds: int = 60, size: int = 1 << 14, batch: int = 64) -> float:
    """SD of batch means of a permuted ramp over the SD that independent draws (without replacement) would have."""
    values = np.arange(size) / size
    expected = np.sqrt(1 / 12 / batch * (1 - batch / size))
    spreads = [values[order(size, seed)].reshape(-1, batch).mean(1).std() for seed in range(seeds)]
    return float(np.mean(spreads) / expected)


def test_batch_means_spread_as_those_of_independent_draws():
    def keyed(size: int, seed: int):
        return KeyedPermutation(size=size, key=seed * 7919 + 1).forward_range(0, size)

    def congruence(size: int, seed: int):
        return (np.arange(size) * 5 * 2**9 + np.arange(size) // 2**5 + seed) % size

    assert spread_over_iid(keyed) == pytest.approx(1, abs=0.03)
    assert abs(spread_over_iid(congruence) - 1) > 0.2, "the measure must see an order that is not random"


def test_sizes_keys_and_indices_out_of_range_are_refused():
    for size in (0, -1, 2**62 + 1):
        with pytest.raises(InputError):
            KeyedPermutation(size=size, key=0)
    with pytest.raises(InputError):
        KeyedPermutation(size=4, key=2**64)
    permutation = KeyedPermutation(size=4, key=0)
    for index in (-1, 4):
        with pytest.raises(IndexError):
            permutation.forward(index)
    with pytest.raises(IndexError):
        permutation.forward_range(2, 3)
    with pytest.raises(IndexError):
        permutation.inverse_array(np.array([0, 9]))
