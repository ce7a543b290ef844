"""Weights are exact at every prefix: no source is ever a whole row ahead of or behind what its weight asks for, and any
position is found without counting the ones before it."""

from collections.abc import Callable
from fractions import Fraction
from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwright.foundation.errors import InputError
from batchwright.sequences.mixture import LARGEST_PERIOD, Mixture
from batchwright.sequences.plan import Plan
from batchwright.sequences.sampler import Sampler
from batchwright.sequences.stage import Source
from tests.laws.plan_reference import pattern
from tests.laws.streams import PACKINGS, index_of

WHOLE = st.lists(st.integers(1, 400), min_size=1, max_size=9).map(tuple)
SHARES = WHOLE.map(lambda whole: tuple(Fraction(weight, sum(whole)) for weight in whole))
Order = Callable[[Mixture, int], list[int]]


def order(mixture: Mixture, length: int) -> list[int]:
    return [mixture.at(place)[0] for place in range(length)]


def check_exact(order: Order, mixture: Mixture, length: int) -> None:
    sources = np.array(order(mixture, length))
    n = np.arange(1, length + 1)
    for source, (quota, share) in enumerate(zip(mixture.quotas, mixture.shares, strict=True)):
        realised = np.cumsum(sources == source)
        assert (np.abs(realised * mixture.period - n * quota) < mixture.period).all()
        assert mixture.rounding == 0 or abs(share - Fraction(quota, mixture.period)) <= mixture.rounding


@given(WHOLE | SHARES, st.integers(0, 3))
def test_no_source_is_ever_a_row_ahead_or_behind(weights: tuple[int | Fraction, ...], more: int) -> None:
    mixture = Mixture(weights=weights)
    check_exact(order, mixture, min(2500, (1 + more) * mixture.period))
    assert mixture.rounding == 0


@given(WHOLE | SHARES)
def test_the_pattern_is_the_naive_one(weights: tuple[int | Fraction, ...]) -> None:
    mixture = Mixture(weights=weights)
    assert mixture.pattern.places[:, 0].tolist() == pattern(tuple(Fraction(weight) for weight in weights))


@given(WHOLE, st.integers(0, 2**50), st.integers(0, 2000))
def test_any_place_is_found_both_ways_without_counting(weights: tuple[int, ...], far: int, near: int) -> None:
    mixture = Mixture(weights=weights)
    sequence = order(mixture, near + 1)
    assert mixture.at(near) == (sequence[near], sequence[:near].count(sequence[near]))
    for source in range(len(weights)):
        assert mixture.count_before(source, near) == sequence[:near].count(source)
    for place in (near, far):
        source, ordinal = mixture.at(place)
        assert mixture.place_of(source, ordinal) == place
        assert mixture.count_before(source, place) == ordinal


@given(st.lists(st.integers(1, 10**9), min_size=2, max_size=30))
def test_weights_too_fine_for_the_table_are_rounded_and_it_is_said_by_how_much(weights: list[int]) -> None:
    mixture = Mixture(weights=tuple(weights))
    assert mixture.period <= LARGEST_PERIOD
    assert min(mixture.quotas) >= 1
    assert mixture.rounding <= Fraction(len(weights), LARGEST_PERIOD)
    check_exact(order, mixture, 300)
    exact = [Fraction(weight, sum(weights)) for weight in weights]
    off = max(abs(Fraction(q, mixture.period) - share) for q, share in zip(mixture.quotas, exact, strict=True))
    assert mixture.rounding == off


@given(st.lists(st.integers(1, 9), min_size=2, max_size=5), st.integers(0, 400), st.integers(1, 60))
def test_rows_of_a_mixture_are_those_of_counting_from_the_beginning(weights: list[int], first: int, count: int) -> None:
    indexes = [index_of(i % 4, PACKINGS[i % 2], 8) for i in range(len(weights))]
    plan = Plan.mix(
        [Source(name=f"s{i}", index=x, weight=w) for i, (x, w) in enumerate(zip(indexes, weights, strict=True))], seed=1
    )
    sampler = Sampler(plan)
    read, expected = [0] * len(weights), list[tuple[int, int, int]]()
    for place in range(first + count):
        source = plan.stage.mixture.at(place)[0]
        epoch, k = divmod(read[source], indexes[source].row_count)
        expected.append((source, sampler.order(source, epoch).forward(k), epoch))
        read[source] += 1
    placed = Sampler(plan).place([(first, count)])
    assert (
        list(zip(placed.streams.tolist(), placed.rows.tolist(), placed.epochs.tolist(), strict=True))
        == (expected[first:])
    )
    for position, (stream, row, epoch) in enumerate(expected[first:], start=first):
        assert sampler.position_of(row, epoch, stream=stream) == position


def floored_remainders(mixture: Mixture, length: int) -> list[int]:
    """Broken twin: every source gets the floor of its share of a hundred places, the largest remainders the rest, one
    source after another."""
    shares = [float(share) for share in mixture.shares]
    counts = [int(100 * share) for share in shares]
    for i in sorted(range(len(shares)), key=lambda i: counts[i] - 100 * shares[i])[: 100 - sum(counts)]:
        counts[i] += 1
    block = [i for i, count in enumerate(counts) for _ in range(count)]
    return [block[place % 100] for place in range(length)]


def drawn(mixture: Mixture, length: int) -> list[int]:
    """Broken twin: every place draws its source."""
    shares = [float(share) for share in mixture.shares]
    return np.random.default_rng(0).choice(len(shares), length, p=shares).tolist()


def most_behind(mixture: Mixture, length: int) -> list[int]:
    """Broken twin: whoever is most behind comes next (what most loaders do): more than a row with many sources."""
    shares = [float(share) for share in mixture.shares]
    counts, out = [0.0] * len(shares), list[int]()
    for place in range(1, length + 1):
        chosen = max(range(len(shares)), key=lambda i: place * shares[i] - counts[i])
        counts[chosen] += 1
        out.append(chosen)
    return out


@pytest.mark.parametrize("twin", [floored_remainders, drawn])
def test_the_law_catches_a_mixture_that_is_right_on_average_only(twin: Order) -> None:
    mixture = Mixture(weights=(7, 2, 1))
    check_exact(order, mixture, 1000)
    with pytest.raises(AssertionError):
        check_exact(twin, mixture, 1000)


def test_the_law_catches_greedy_debt() -> None:
    # Sources of one weight come due together: greedy serves the largest debt, not the earliest deadline, and falls
    # 1.3 rows behind.
    mixture = Mixture(weights=(97, *[7] * 10, *[1] * 60))
    check_exact(order, mixture, mixture.period)
    with pytest.raises(AssertionError):
        check_exact(most_behind, mixture, mixture.period)


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ((Fraction(1, 2), Fraction(1, 3)), r"sum to 5/6 \(0.833333\), not to 1"),
        ((Fraction(1, 2), 1), "sum to 3/2"),
        ((3, 0), "weight 2 of 2 is 0"),
        ((Fraction(-1, 2), Fraction(3, 2)), "weight 1 of 2 is -1/2"),
        ((), "a mixture of 0 sources"),
    ],
)
def test_weights_that_make_no_mixture_are_refused(weights: tuple[int | Fraction, ...], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Mixture(weights=weights)


def test_a_mixture_of_five_reads_aloud() -> None:
    mixture = Mixture(weights=(3, 2, 1))
    assert order(mixture, 8) == [0, 1, 0, 1, 0, 2, 0, 1]
    assert list(accumulate(mixture.quotas)) == [3, 5, 6]
