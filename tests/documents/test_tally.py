"""The ledger adds up, merges in any order, survives its JSON and refuses to be wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwright.documents.tally import Tally

entries = st.lists(
    st.tuples(st.sampled_from(["keep", "empty", "binary", "newlines", "file"]), st.integers(0, 100)), max_size=20
)


def tally_of(rows: list[tuple[str, int]]) -> Tally:
    """A tally in which these things happened."""
    tally = Tally()
    for kind, size in rows:
        if kind == "file":
            tally.skip_file("hidden")
            continue
        tally.read.add(1, size + 1)
        if kind == "newlines":
            tally.edit(kind, 1)
        if kind in ("keep", "newlines"):
            tally.kept.add(1, size + (kind == "keep"))
        else:
            tally.drop(kind, size + 1)
    return tally


@given(entries, entries, entries)
def test_merging_in_any_order_gives_the_same_balanced_tally(a: list, b: list, c: list) -> None:  # type: ignore[type-arg]
    together = tally_of(a + b + c)
    together.check()
    assert Tally().merge(tally_of(c)).merge(tally_of(a)).merge(tally_of(b)) == together
    assert Tally.from_dict(together.to_dict()) == together


def test_equal_tallies_have_equal_json_whatever_came_first() -> None:
    one = tally_of([("empty", 1), ("binary", 2)])
    two = tally_of([("binary", 2), ("empty", 1)])
    assert list(one.to_dict()["dropped"]) == list(two.to_dict()["dropped"])


def test_a_document_dropped_after_it_was_kept_stays_in_balance() -> None:
    tally = tally_of([("keep", 9), ("keep", 9)])
    tally.drop_kept("duplicate", 10)
    tally.check()
    assert (tally.kept.documents, tally.dropped["duplicate"].bytes) == (1, 10)


def test_a_lost_document_or_byte_is_our_own_mistake() -> None:
    for documents, size_bytes in ((1, 0), (0, 1)):
        tally = tally_of([("keep", 1)])
        tally.read.add(documents, size_bytes)
        with pytest.raises(AssertionError, match="not conserved"):
            tally.check()
