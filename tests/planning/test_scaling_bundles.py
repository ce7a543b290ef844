"""Bundles of scaling rules against their formulas."""

import math

import pytest

from batchwright.foundation.errors import InputError
from batchwright.planning.scaling_bundles import NAMES, Bundle, bundle_named
from batchwright.planning.scaling_rules import Hyperparameters, tau

REFERENCE = Hyperparameters(
    tokens_per_step=4096, learning_rate=2e-3, beta2=0.99, epsilon=1e-8, weight_decay=0.1, tokens=2_000_000
)


def named(name: str) -> Bundle:
    return bundle_named(name, half_batch_tokens=8192 if name == "saturating" else None)


@pytest.mark.parametrize("name", NAMES)
def test_at_the_reference_batch_every_number_is_the_references(name: str) -> None:
    assert named(name)(REFERENCE, 4096).value == REFERENCE


@pytest.mark.parametrize(
    ("name", "rate", "beta1", "beta2", "decay", "epsilon"),
    [
        ("half-life", 2e-3, 0.9, 0.99**4, 0.4, 1e-8),
        ("sqrt", 4e-3, 0.9, 0.99**4, 0.2, 5e-9),
        ("malladi", 4e-3, 0.6, 0.96, 0.1, 5e-9),
        ("linear", 8e-3, 0.9, 0.99, 0.1, 1e-8),
        ("saturating", 2e-3 * 3 / 1.5, 0.9, 0.99, 0.1, 1e-8),
        ("decay-tau", 2e-3, 0.9, 0.99, 0.4, 1e-8),
    ],
)
def test_four_times_the_batch(name: str, rate: float, beta1: float, beta2: float, decay: float, epsilon: float) -> None:
    found = named(name)(REFERENCE, 4 * 4096)
    value = found.value
    got = (value.learning_rate, value.beta1, value.beta2, value.weight_decay, value.epsilon)
    assert got == pytest.approx((rate, beta1, beta2, decay, epsilon))
    assert found.clipped == ()


@pytest.mark.parametrize("name", ["half-life", "sqrt", "decay-tau"])
def test_the_window_of_weight_decay_stays_where_a_bundle_says_so(name: str) -> None:
    assert math.isclose(tau(named(name)(REFERENCE, 1024).value), tau(REFERENCE))


def test_what_cannot_be_followed_is_clipped_and_named() -> None:
    found = named("malladi")(REFERENCE, 16 * 4096)
    assert (found.value.beta1, found.value.beta2) == (0.0, 0.95)
    assert found.clipped == ("beta1", "beta2")


def test_a_bundle_that_does_not_exist_or_lacks_its_number_is_refused() -> None:
    with pytest.raises(InputError) as caught:
        bundle_named("saturated", half_batch_tokens=1)
    assert "did you mean 'saturating'?" in str(caught.value.remedy)
    with pytest.raises(InputError, match="'saturating' needs half-way batch"):
        bundle_named("saturating")
    with pytest.raises(InputError, match="'sqrt' knows no half-way batch"):
        bundle_named("sqrt", half_batch_tokens=4)
