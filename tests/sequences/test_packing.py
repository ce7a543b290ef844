"""Packing: whole, exact, needlessly cutting nothing; the compiled loops against a twin in plain Python."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchwright.foundation.errors import CorruptDataError, InputError
from batchwright.sequences.packing import BestFit, Concatenate, Packed, packing_from_dict

LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=60)
SEQUENCE_LENGTHS = st.integers(2, 70)


def rows_of(packed: Packed) -> list[list[tuple[int, int, int]]]:
    """Pieces row by row, when no row was open before."""
    pieces = list(zip(packed.document.tolist(), packed.begin.tolist(), packed.length.tolist(), strict=True))
    ends = [*packed.row_first.tolist()[1:], len(pieces)]
    return [pieces[a:b] for a, b in zip(packed.row_first.tolist(), ends, strict=True)]


def best_fit_reference(lengths: list[int], sequence_length: int) -> list[list[tuple[int, int, int]]]:
    """The definition: longest piece first, into the row with the least room that fits, the youngest of equals."""
    pieces = [(d, a, min(sequence_length, n - a)) for d, n in enumerate(lengths) for a in range(0, n, sequence_length)]
    rows: list[list[tuple[int, int, int]]] = []
    room: list[int] = []
    reached: list[int] = []  # when a row came to its present room
    for clock, piece in enumerate(sorted(pieces, key=lambda piece: -piece[2])):
        fitting = [r for r in range(len(rows)) if room[r] >= piece[2]]
        if fitting:
            row = min(fitting, key=lambda r: (room[r], -reached[r]))
        else:
            row = len(rows)
            rows.append([])
            room.append(sequence_length)
            reached.append(0)
        rows[row].append(piece)
        room[row] -= piece[2]
        reached[row] = clock
    return rows


@given(LENGTHS, SEQUENCE_LENGTHS)
def test_best_fit_is_its_definition(lengths: list[int], sequence_length: int) -> None:
    packed = BestFit().pack(np.array(lengths, np.int64), sequence_length)
    assert rows_of(packed) == best_fit_reference(lengths, sequence_length)


@given(LENGTHS, SEQUENCE_LENGTHS)
def test_best_fit_cuts_only_documents_longer_than_a_row_and_keeps_their_first_piece_at_the_start(
    lengths: list[int], sequence_length: int
) -> None:
    packed = BestFit().pack(np.array(lengths, np.int64), sequence_length)
    for document, length in enumerate(lengths):
        pieces = sorted(
            (a, n) for d, a, n in zip(packed.document, packed.begin, packed.length, strict=True) if d == document
        )
        assert len(pieces) == -(-length // sequence_length)
        assert pieces[0] == (0, min(length, sequence_length))


@given(LENGTHS, SEQUENCE_LENGTHS, st.lists(st.integers(1, 20), max_size=4))
def test_concatenation_does_not_depend_on_windows(lengths: list[int], sequence_length: int, cuts: list[int]) -> None:
    whole = rows_of(Concatenate().pack(np.array(lengths, np.int64), sequence_length))
    assert all(sum(n for _, _, n in row) == sequence_length for row in whole[:-1])
    rows: list[list[tuple[int, int, int]]] = []
    first = open_slots = 0
    while first < len(lengths):
        width = cuts.pop() if cuts else len(lengths)
        packed = Concatenate().pack(
            np.array(lengths[first : first + width], np.int64), sequence_length, open_slots=open_slots
        )
        pieces = [
            (first + d, a, n)
            for d, a, n in zip(packed.document.tolist(), packed.begin.tolist(), packed.length.tolist(), strict=True)
        ]
        bounds = [0, *packed.row_first.tolist(), len(pieces)]
        if rows:
            rows[-1] += pieces[: bounds[1]]
        rows += [pieces[a:b] for a, b in pairwise(bounds[1:])]
        first, open_slots = first + width, packed.open_slots
    assert rows == whole


@given(st.lists(st.integers(1, 2000), min_size=1, max_size=300), st.integers(1000, 10_000))
@settings(max_examples=20)
def test_long_rows_use_the_two_level_bitset_rightly(lengths: list[int], sequence_length: int) -> None:
    packed = BestFit().pack(np.array(lengths, np.int64), sequence_length)
    assert rows_of(packed) == best_fit_reference(lengths, sequence_length)


def test_a_row_longer_than_all_documents_together_holds_them_all() -> None:
    for packing in (BestFit(), Concatenate()):
        packed = packing.pack(np.array([3, 4, 5], np.int64), 1_000_000)
        assert rows_of(packed) == [
            sorted(
                zip(packed.document.tolist(), packed.begin.tolist(), packed.length.tolist(), strict=True),
                key=lambda piece: -piece[2] if isinstance(packing, BestFit) else piece[0],
            )
        ]


def test_padding_of_the_default_window_is_below_six_hundredths_of_a_percent() -> None:
    rng = np.random.default_rng(0)
    lengths = np.maximum(2, rng.lognormal(5.96, 1.2, 65_536)).astype(np.int64)
    packed = BestFit().pack(lengths, 2048)
    slots = packed.row_first.shape[0] * 2048
    assert (slots - lengths.sum()) / slots < 0.0006


@pytest.mark.parametrize("sequence_length", [-1, 0, 1, 2**24 + 1])
def test_an_impossible_row_length_is_refused(sequence_length: int) -> None:
    for packing in (BestFit(), Concatenate()):
        with pytest.raises(InputError, match="choose a sequence length from 2"):
            packing.pack(np.array([3], np.int64), sequence_length)


def test_a_document_without_its_closing_token_is_corrupt_data() -> None:
    with pytest.raises(CorruptDataError):
        BestFit().pack(np.array([3, 0], np.int64), 8)


def test_a_policy_is_read_back_from_its_json_and_an_unknown_one_is_named() -> None:
    for packing in (BestFit(window_documents=128, block_documents=4), Concatenate()):
        assert packing_from_dict(packing.to_dict()) == packing
    with pytest.raises(InputError, match="worst-fit"):
        packing_from_dict({"policy": "worst-fit"})


@pytest.mark.parametrize(("window", "block"), [(0, 1), (8, 0), (8, 9)])
def test_an_impossible_window_is_refused(window: int, block: int) -> None:
    with pytest.raises(InputError):
        BestFit(window_documents=window, block_documents=block)
