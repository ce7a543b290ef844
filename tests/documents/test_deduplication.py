"""The first of each text is kept, exactly as a set that remembers everything would do."""

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from batchwright.documents.deduplication import KeptBitmap, document_id, ids_to_pairs, keep_first


def keep_first_reference(ids: list[tuple[int, int]]) -> list[bool]:
    """The twin: a set."""
    seen: set[tuple[int, int]] = set()
    return [not (pair in seen or seen.add(pair)) for pair in ids]


def pairs(ids: list[tuple[int, int]]) -> NDArray[np.uint64]:
    """(n, 2) uint64."""
    return np.array(ids, np.uint64).reshape(-1, 2)


def agrees(keep: Callable[..., KeptBitmap], ids: list[tuple[int, int]], cut: int, run_documents: int) -> bool:
    """Whether an implementation keeps what the set keeps."""
    array = pairs(ids)
    kept = keep([array[:cut], array[cut:]], run_documents=run_documents)
    expected = keep_first_reference(ids)
    return kept.range(0, len(ids)).tolist() == expected and kept.kept == sum(expected) and kept.documents == len(ids)


few_ids = st.lists(
    st.tuples(st.sampled_from([0, 1, 2**63, 2**64 - 1]), st.sampled_from([0, 7, 2**64 - 1])), max_size=60
)


@given(few_ids, st.integers(0, 60), st.integers(1, 70))
def test_the_first_of_each_id_is_kept_for_every_cut_into_chunks_and_runs(
    ids: list[tuple[int, int]], cut: int, run_documents: int
) -> None:
    assert agrees(keep_first, ids, cut, run_documents)


def test_many_ids_in_many_runs_agree_with_the_set() -> None:
    source = random.Random(5)
    pool = [(source.getrandbits(64), source.getrandbits(64)) for _ in range(2000)]
    ids = [source.choice(pool) for _ in range(5000)]
    assert agrees(keep_first, ids, 1234, 100)


def test_an_implementation_that_forgets_between_runs_is_caught() -> None:
    def forgetful(chunks: list[NDArray[np.uint64]], *, run_documents: int) -> KeptBitmap:
        kept = [keep_first([chunk], run_documents=run_documents) for chunk in chunks]
        bits = np.packbits(np.concatenate([part.range(0, part.documents) for part in kept]), bitorder="little")
        return KeptBitmap(sum(part.documents for part in kept), bits)

    def last(chunks: list[NDArray[np.uint64]], *, run_documents: int) -> KeptBitmap:
        kept = keep_first([np.concatenate(chunks)[::-1]], run_documents=run_documents)
        bits = np.packbits(kept.range(0, kept.documents)[::-1], bitorder="little")
        return KeptBitmap(kept.documents, bits)

    ids = [(1, 1), (2, 2), (1, 1)]
    assert agrees(keep_first, ids, 1, 2)
    assert not agrees(forgetful, ids, 1, 2)
    assert not agrees(last, ids, 1, 2)


def test_a_range_of_the_bitmap_is_that_range() -> None:
    ids = [(n % 13, 0) for n in range(50)]
    kept = keep_first([pairs(ids)], run_documents=7)
    expected = keep_first_reference(ids)
    for first in range(0, 51, 5):
        for stop in range(first, 51, 3):
            assert kept.range(first, stop).tolist() == expected[first:stop]
    with pytest.raises(IndexError):
        kept.range(0, 51)


def test_the_scratch_directory_is_left_empty(tmp_path: Path) -> None:
    keep_first([pairs([(n, n) for n in range(100)])], scratch=tmp_path, run_documents=10)
    assert list(tmp_path.iterdir()) == []


def test_an_id_is_the_published_hash_of_the_text_and_its_halves() -> None:
    text = "naïve".encode()
    assert document_id(text).hex() == xxhash.xxh3_128_hexdigest(text)
    high, low = ids_to_pairs(document_id(text))[0].tolist()
    assert (high << 64) + low == int.from_bytes(document_id(text), "big")
    assert ids_to_pairs(b"").shape == (0, 2)
