"""The ledger against a count by hand; it closes or it is an error; parts add up to the whole."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwright.foundation.errors import CorruptDataError
from batchwright.sequences.ledger import Bookkeeper, Ledger
from batchwright.sequences.packing import BestFit, BestFitTruncated, Concatenate, Packed, Packing, StartAligned

LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=60)
POLICIES: list[Packing] = [BestFit(), Concatenate(), BestFitTruncated(), StartAligned(buffer_documents=3)]


def booked(packing: Packing, lengths: list[int], sequence_length: int, packed: Packed | None = None) -> Ledger:
    documents = np.array(lengths, np.int64)
    books = Bookkeeper(packing, sequence_length)
    books.enter(documents, packing.pack(documents, sequence_length) if packed is None else packed)
    return books.ledger()


@given(st.sampled_from(POLICIES), LENGTHS, st.integers(2, 50))
def test_it_counts_what_a_person_would(packing: Packing, lengths: list[int], sequence_length: int) -> None:
    packed = packing.pack(np.array(lengths, np.int64), sequence_length)
    pieces = list(zip(packed.document.tolist(), packed.begin.tolist(), packed.length.tolist(), strict=True))
    whole = {d for d, a, n in pieces if (a, n) == (0, lengths[d])}
    cut = set(range(len(lengths))) - whole
    targets = sum(n for _, _, n in pieces)
    ledger = booked(packing, lengths, sequence_length)
    assert ledger == Ledger(
        sequence_length=sequence_length,
        documents=len(lengths),
        documents_cut=len(cut),
        documents_cut_needlessly=sum(lengths[d] <= sequence_length for d in cut),
        stored=sum(lengths),
        targets=targets,
        targets_without_start=sum(n for _, a, n in pieces if a > 0),
        rows=len(packed.row_first),
        segments=len(pieces),
        padding=len(packed.row_first) * sequence_length - targets,
        dropped={} if packing.drops is None else {packing.drops: sum(lengths) - targets},
    )
    ledger.check()
    assert Ledger.from_dict(ledger.to_dict()) == ledger


@given(LENGTHS, LENGTHS)
def test_ledgers_of_parts_add_up(left: list[int], right: list[int]) -> None:
    for packing in (BestFit(), BestFitTruncated()):
        books = Bookkeeper(packing, 8)
        for lengths in (left, right):
            books.enter(np.array(lengths, np.int64), packing.pack(np.array(lengths, np.int64), 8))
        assert booked(packing, left, 8) + booked(packing, right, 8) == books.ledger()


def test_ledgers_of_other_row_lengths_do_not_add() -> None:
    with pytest.raises(ValueError, match="8 and 9"):
        Ledger(sequence_length=8) + Ledger(sequence_length=9)


def test_documents_that_wait_are_counted_when_they_are_laid() -> None:
    packing = StartAligned(buffer_documents=3)
    first = np.array([2, 9, 2, 5], np.int64)
    packed = packing.pack(first, 4, last=False)
    books = Bookkeeper(packing, 4)
    books.enter(first, packed)
    assert books.ledger().documents == 4 - packed.waiting.shape[0]
    rest = np.append(first[packed.waiting], 1)
    books.enter(rest, packing.pack(rest, 4, open_slots=packed.open_slots))
    assert books.ledger() == booked(packing, [2, 9, 2, 5, 1], 4)


def test_what_does_not_close_is_an_error() -> None:
    lengths = [5, 3, 9, 2]
    packed = BestFit().pack(np.array(lengths, np.int64), 6)
    shorter = np.where(np.arange(5) == 2, packed.length - 1, packed.length).astype(np.int32)
    with pytest.raises(CorruptDataError, match="drops nothing"):
        booked(BestFit(), lengths, 6, replace(packed, length=shorter))
    with pytest.raises(CorruptDataError, match="more than its 6"):
        booked(BestFit(), lengths, 6, replace(packed, row_first=packed.row_first[:-2]))
    twice = replace(packed, document=np.array([2, 0, 1, 2, 3]), length=packed.length + np.int32(1))
    with pytest.raises(CorruptDataError):
        booked(BestFitTruncated(), lengths, 7, twice).check()
    lost = replace(packed, row_first=np.delete(packed.row_first, 1), length=packed.length // np.int32(2))
    with pytest.raises(CorruptDataError):
        booked(BestFit(), lengths, 6, lost)
    for change in ({"padding": 6}, {"rows": 3}, {"targets": 18}, {"stored": 20}, {"dropped": {"x": -1}}):
        with pytest.raises(CorruptDataError, match="does not close"):
            replace(booked(BestFit(), lengths, 6), **change).check()
