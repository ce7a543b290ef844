"""Rows to segments and documents to segments are one relation, read in two directions."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchwright.foundation.array_file import HEADER_BYTES
from batchwright.foundation.compiled import plain
from batchwright.foundation.errors import CorruptDataError, InputError
from batchwright.sequences.index import SequenceIndex
from batchwright.sequences.index_build import build_index
from batchwright.sequences.packing import BestFit, Concatenate
from batchwright.sequences.placement import PlacedSegment, scan_starts, segments_of_document, segments_of_row
from batchwright.sequences.stored_tokens import StoredTokens
from tests.laws.streams import CORPORA, PACKINGS, index_of
from tests.sequences.small_store import write_store


def by_looking_at_every_row(index: SequenceIndex) -> dict[int, list[PlacedSegment]]:
    found: dict[int, list[PlacedSegment]] = {}
    for row in range(index.row_count):
        for segment in segments_of_row(index, row):
            found.setdefault(segment.document, []).append(segment)
    return {d: sorted(segments, key=lambda s: s.first_token) for d, segments in found.items()}


@pytest.mark.parametrize("packing", PACKINGS, ids=repr)
@pytest.mark.parametrize("sequence_length", [2, 8, 1000])
@pytest.mark.parametrize("corpus", range(len(CORPORA)))
def test_a_document_is_found_in_the_rows_that_hold_it_and_in_no_other(
    corpus: int, packing: BestFit | Concatenate, sequence_length: int
) -> None:
    index = index_of(corpus, packing, sequence_length)
    rows = by_looking_at_every_row(index)
    for document, length in enumerate(CORPORA[corpus]):
        found = segments_of_document(index, document)
        assert list(found) == rows[document]
        # Its segments follow each other without a gap, from its first token to its `<endoftext>`.
        assert [0, *(s.stop_token for s in found)] == [*(s.first_token for s in found), length]


def test_a_lookup_that_stops_at_the_first_segment_is_caught() -> None:
    index = index_of(0, BestFit(), 8)
    rows = by_looking_at_every_row(index)
    assert any(list(segments_of_document(index, d))[:1] != rows[d] for d in rows)


def test_a_document_of_more_segments_than_the_first_room_is_found_whole(tmp_path: Path) -> None:
    index = build_index(write_store(tmp_path, [3, 5_000, 7]), sequence_length=2)
    found = segments_of_document(index, 1)
    assert len(found) == 2_500
    assert sum(s.length for s in found) == 5_000


@given(
    starts=st.lists(st.integers(0, 40) | st.integers(2**62, 2**62 + 5), max_size=60),
    first=st.integers(0, 40),
    length=st.integers(1, 10),
    room=st.integers(0, 70),
)
@settings(max_examples=60)
def test_the_scan_is_its_definition(starts: list[int], first: int, length: int, room: int) -> None:
    array, out = np.array(starts, np.int64), np.full(room, -1)
    expected = [i for i, start in enumerate(starts) if first <= start < first + length]
    for scan in (scan_starts, plain(scan_starts)):
        out[:] = -1
        with np.errstate(over="ignore"):
            assert scan(array, first, first + length, out) == len(expected)
        assert out.tolist() == (expected + [-1] * room)[:room]


def test_the_scan_finds_hits_in_every_block() -> None:
    starts = np.arange(20_000)[::-1].copy()
    out = np.empty(4, np.int64)
    for start in (0, 4095, 4096, 8191, 19_999):
        assert scan_starts(starts, start, start + 1, out) == 1
        assert starts[out[0]] == start


def test_what_does_not_exist_is_refused_with_what_does() -> None:
    index = index_of(0, BestFit(), 8)
    with pytest.raises(InputError, match=r"no document 20; this split has 20"):
        segments_of_document(index, 20)
    with pytest.raises(InputError, match=f"no row -1; the index has {index.row_count}"):
        segments_of_row(index, -1)


def test_a_damaged_index_is_an_error_and_not_another_place(tmp_path: Path) -> None:
    store = write_store(tmp_path, [5, 9, 4])
    index = build_index(store, sequence_length=6)
    path = index.directory / "segments.start"
    content = bytearray(path.read_bytes())
    content[HEADER_BYTES] ^= 1
    path.write_bytes(content)
    with pytest.raises(CorruptDataError, match=r"segments\.start"):
        segments_of_document(SequenceIndex.open(index.directory, StoredTokens.of(store)), 1)
