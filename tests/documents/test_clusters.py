"""Edges and roots against definitions over all pairs, and recall against the formula."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from batchwright.documents.clusters import EDGE, LEADERS, band_rows, edges_of, roots_of
from batchwright.documents.near_duplicates import NearDuplicates
from batchwright.documents.signatures import NOTHING, signatures_of
from batchwright.foundation.errors import InputError

SMALL = NearDuplicates(bands=4, rows=2, min_similarity=0.5)


def signatures(seed: int, documents: int, values: int) -> NDArray[np.uint32]:
    made = np.random.default_rng(seed).integers(0, values, (documents, SMALL.permutations), np.uint32)
    made[documents // 2] = NOTHING
    return made


def found(made: NDArray[np.uint32], near: NearDuplicates, batch: int = 1000) -> set[tuple[int, int]]:
    rows = band_rows(made, 0, near)
    edges = edges_of(rows["key"].copy(), rows["document"].astype(np.int64), lambda which: made[which], near, batch)
    assert len(np.unique(edges)) == len(edges)
    return {(int(first), int(second)) for first, second in edges.tolist()}


def expected(made: NDArray[np.uint32], near: NearDuplicates) -> set[tuple[int, int]]:
    """The definition: groups of equal bands, each document against the leaders before it."""
    edges: set[tuple[int, int]] = set()
    for band in range(near.bands):
        groups: dict[bytes, list[int]] = {}
        for document, places in enumerate(made):
            if (places == NOTHING).all():
                continue
            part = places[band * near.rows : (band + 1) * near.rows].tobytes()
            leaders = groups.setdefault(part, [])
            alike = [one for one in leaders if np.count_nonzero(made[one] == places) >= near.agreeing_places]
            edges |= {(one, document) for one in alike}
            if not alike and len(leaders) < LEADERS:
                leaders.append(document)
    return edges


@settings(max_examples=50)
@given(st.integers(0, 2**32), st.integers(1, 60), st.integers(1, 6), st.integers(1, 40))
def test_edges_are_those_of_the_definition_however_rows_are_batched(
    seed: int, documents: int, values: int, batch: int
) -> None:
    made = signatures(seed, documents, values)
    assert found(made, SMALL, batch) == expected(made, SMALL)


def test_texts_without_words_are_nobodys_duplicate() -> None:
    made = signatures_of([b"...", b"!!!", b"one two three four five six", b"One: two, three, four, five, six"], SMALL)
    assert found(made, SMALL) == {(2, 3)}


@given(st.integers(1, 30), st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29)), max_size=40), st.integers(1, 9))
def test_the_root_is_the_earliest_document_that_can_be_reached(
    documents: int, pairs: list[tuple[int, int]], cut: int
) -> None:
    edges = np.array([(a, b) for a, b in pairs if max(a, b) < documents], EDGE)
    roots = roots_of(documents, [edges[n : n + cut] for n in range(0, len(edges), cut)])
    reached = np.eye(documents, dtype=bool)
    for a, b in edges.tolist():
        reached[a, b] = reached[b, a] = True
    for _ in range(documents):
        reached = reached @ reached
    assert roots.tolist() == reached.argmax(axis=1).tolist()


@pytest.mark.parametrize("similarity", [0.6, 0.75, 0.9])
def test_pairs_of_known_similarity_are_compared_and_found_as_often_as_the_formula_says(similarity: float) -> None:
    near, pairs, shingles = NearDuplicates(), 1500, 60
    common = round(2 * shingles * similarity / (1 + similarity))
    exact = common / (2 * shingles - common)
    random = np.random.default_rng(7)
    texts: list[bytes] = []
    for _ in range(pairs):
        # One word a shingle, so that the similarity is what was asked for.
        words = [f"{n:x}" for n in random.integers(0, 2**60, 2 * shingles - common)]
        texts += [" ".join(words[:shingles]).encode(), " ".join(words[shingles - common :]).encode()]
    one_word = NearDuplicates(shingle_words=1)
    made = signatures_of(texts, one_word)
    for rule, theory in ((NearDuplicates(min_similarity=0), near.compared), (near, near.found)):
        edges = found(made, rule)
        assert edges <= {(2 * n, 2 * n + 1) for n in range(pairs)}
        # four standard deviations of 1,500 draws
        assert abs(len(edges) / pairs - theory(exact)) < 0.05


def test_impossible_settings_are_refused() -> None:
    for wrong in ({"action": "burn"}, {"shingle_words": 0}, {"bands": 200}, {"min_similarity": 1.1}):
        with pytest.raises(InputError):
            NearDuplicates(**wrong)  # type: ignore[arg-type]
    assert NearDuplicates(min_similarity=0.8).agreeing_places == 90
