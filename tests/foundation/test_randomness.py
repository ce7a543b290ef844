from hypothesis import given
from hypothesis import strategies as st

from batchwright.foundation.randomness import generator, key

names = st.lists(st.one_of(st.integers(0, 10**6), st.text(max_size=5)), max_size=3)


@given(st.tuples(st.integers(0, 99), names), st.tuples(st.integers(0, 99), names))
def test_different_names_give_different_keys(first: tuple[int, list[str | int]], second: tuple[int, list[str | int]]):
    one, other = key(first[0], "order", *first[1]), key(second[0], "order", *second[1])
    assert (one == other) == (first == second)


def test_epoch_one_of_seed_zero_is_not_epoch_zero_of_seed_one():
    assert key(0, "row-order", "books", 1) != key(1, "row-order", "books", 0)

    def added(seed: int, purpose: str, *names: str | int) -> int:
        return seed + sum(name for name in names if isinstance(name, int))

    assert added(0, "row-order", "books", 1) == added(1, "row-order", "books", 0), "the broken twin must collide"


def test_a_stream_is_the_same_wherever_it_is_drawn():
    assert (
        generator(3, "init", "w").integers(0, 2**62, 4).tolist()
        == generator(3, "init", "w").integers(0, 2**62, 4).tolist()
    )
    assert key(7, "row-order", "books", 0) == 4408287739605209658, "a key is part of the format: it never changes"
