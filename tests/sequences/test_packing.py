"""Packing: whole, exact, needlessly cutting nothing; the compiled loops against a twin in plain Python."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchwright.foundation.compiled import plain
from batchwright.foundation.errors import CorruptDataError, InputError
from batchwright.sequences.packing import (
    BestFit,
    BestFitTruncated,
    Concatenate,
    Packed,
    Packing,
    StartAligned,
    packing_from_dict,
)
from batchwright.sequences.start_aligned import pack_start_aligned

LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=60)
SEQUENCE_LENGTHS = st.integers(2, 70)
BUFFERS = st.integers(1, 12)
POLICIES: tuple[Packing, ...] = (BestFit(), Concatenate(), BestFitTruncated(), StartAligned())


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


def start_aligned_reference(
    lengths: list[int], sequence_length: int, buffer_documents: int
) -> list[list[tuple[int, int, int]]]:
    """The definition, as nanochat writes it: a list that is searched, and popped from."""
    coming, buffer = list(enumerate(lengths)), list[tuple[int, int]]()
    rows: list[list[tuple[int, int, int]]] = []
    room = 0
    while coming or buffer:
        while coming and len(buffer) < buffer_documents:
            buffer.append(coming.pop(0))
        if room == 0:
            rows.append([])
            room = sequence_length
        best = -1
        for place, (_, length) in enumerate(buffer):
            if length <= room and (best < 0 or length > buffer[best][1]):
                best = place
        if best < 0:
            best = min(range(len(buffer)), key=lambda place: buffer[place][1])
        document, length = buffer.pop(best)
        rows[-1].append((document, 0, min(length, room)))
        room -= min(length, room)
    return rows


@given(LENGTHS, SEQUENCE_LENGTHS, BUFFERS)
def test_start_aligned_is_its_definition(lengths: list[int], sequence_length: int, buffer_documents: int) -> None:
    packing = StartAligned(buffer_documents=buffer_documents)
    packed = packing.pack(np.array(lengths, np.int64), sequence_length)
    assert rows_of(packed) == start_aligned_reference(lengths, sequence_length, buffer_documents)
    assert packed.waiting.size == 0


@given(LENGTHS, SEQUENCE_LENGTHS, BUFFERS, st.integers(0, 1), st.booleans())
def test_the_start_aligned_loop_does_in_python_what_it_does_compiled(
    lengths: list[int], sequence_length: int, buffer_documents: int, open_slots: int, last: bool
) -> None:
    arguments = (np.array(lengths, np.int64), sequence_length, buffer_documents, open_slots, last)
    compiled, in_python = pack_start_aligned(*arguments), plain(pack_start_aligned)(*arguments)
    assert all(np.array_equal(a, b) for a, b in zip(compiled, in_python, strict=True))


@given(LENGTHS, SEQUENCE_LENGTHS)
def test_truncated_best_fit_is_best_fit_of_the_documents_heads(lengths: list[int], sequence_length: int) -> None:
    packed = BestFitTruncated().pack(np.array(lengths, np.int64), sequence_length)
    assert rows_of(packed) == best_fit_reference([min(n, sequence_length) for n in lengths], sequence_length)


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


def in_windows(packing: Packing, lengths: list[int], sequence_length: int, cuts: list[int]) -> list[object]:
    """Rows when the documents come in windows of the widths `cuts` and a rest, documents numbered throughout."""
    rows: list[list[tuple[int, int, int]]] = []
    held: list[int] = []
    first = open_slots = 0
    widths = [*cuts, len(lengths)]
    while first < len(lengths):
        width = min(widths.pop(0), len(lengths) - first)
        held += range(first, first + width)
        first += width
        packed = packing.pack(
            np.array([lengths[d] for d in held], np.int64),
            sequence_length,
            open_slots=open_slots,
            last=first == len(lengths),
        )
        pieces = [
            (held[d], a, n)
            for d, a, n in zip(packed.document.tolist(), packed.begin.tolist(), packed.length.tolist(), strict=True)
        ]
        bounds = [0, *packed.row_first.tolist(), len(pieces)]
        if rows:
            rows[-1] += pieces[: bounds[1]]
        else:
            assert bounds[1] == 0
        rows += [pieces[a:b] for a, b in pairwise(bounds[1:])]
        held, open_slots = [held[d] for d in packed.waiting.tolist()], packed.open_slots
    return list(rows)


@given(LENGTHS, SEQUENCE_LENGTHS, BUFFERS, st.lists(st.integers(1, 20), max_size=4))
def test_streams_do_not_depend_on_windows(
    lengths: list[int], sequence_length: int, buffer_documents: int, cuts: list[int]
) -> None:
    for packing in (Concatenate(), StartAligned(buffer_documents=buffer_documents)):
        whole = rows_of(packing.pack(np.array(lengths, np.int64), sequence_length))
        assert all(sum(n for _, _, n in row) == sequence_length for row in whole[:-1])
        assert in_windows(packing, lengths, sequence_length, cuts) == whole


@given(st.lists(st.integers(1, 2000), min_size=1, max_size=300), st.integers(1000, 10_000))
@settings(max_examples=20)
def test_long_rows_use_the_two_level_bitset_rightly(lengths: list[int], sequence_length: int) -> None:
    packed = BestFit().pack(np.array(lengths, np.int64), sequence_length)
    assert rows_of(packed) == best_fit_reference(lengths, sequence_length)


@pytest.mark.parametrize("sequence_length", [128, 1024, 2048, 8192, 32_768, 131_072])
@pytest.mark.parametrize("packing", POLICIES)
def test_every_row_length_that_is_trained_on_packs_all_or_counts_it(packing: Packing, sequence_length: int) -> None:
    rng = np.random.default_rng(sequence_length)
    lengths = np.maximum(1, rng.lognormal(5.96, 1.6, 3_000)).astype(np.int64)
    packed = packing.pack(lengths, sequence_length)
    targets = np.add.reduceat(packed.length, packed.row_first)
    assert targets.max() <= sequence_length
    laid = np.zeros_like(lengths)
    np.add.at(laid, packed.document, packed.length)
    assert (laid >= 1).all()
    if packing.drops is None:
        assert np.array_equal(laid, lengths)
    elif isinstance(packing, BestFitTruncated):
        assert np.array_equal(laid, np.minimum(lengths, sequence_length))
    else:
        assert (laid <= np.minimum(lengths, sequence_length)).all()
        assert (targets[:-1] == sequence_length).all()
        assert (packed.begin == 0).all()


def test_a_row_longer_than_all_documents_together_holds_them_all() -> None:
    for packing in POLICIES:
        packed = packing.pack(np.array([3, 4, 5], np.int64), 1_000_000)
        assert [sorted(row) for row in rows_of(packed)] == [[(0, 0, 3), (1, 0, 4), (2, 0, 5)]]


def test_a_start_aligned_buffer_fills_up_with_long_documents() -> None:
    lengths = np.maximum(2, np.random.default_rng(0).lognormal(5.96, 1.2, 60_000)).astype(np.int64)
    packed = StartAligned(buffer_documents=1_000).pack(lengths, 2048)
    parts = np.array_split(np.arange(packed.document.shape[0]), 12)
    dropped = [1 - packed.length[part].sum() / lengths[packed.document[part]].sum() for part in parts]
    assert dropped[0] < 0.05
    assert min(dropped[6:]) > 0.3


def test_padding_of_the_default_window_is_below_six_hundredths_of_a_percent() -> None:
    rng = np.random.default_rng(0)
    lengths = np.maximum(2, rng.lognormal(5.96, 1.2, 65_536)).astype(np.int64)
    packed = BestFit().pack(lengths, 2048)
    slots = packed.row_first.shape[0] * 2048
    assert (slots - lengths.sum()) / slots < 0.0006


@pytest.mark.parametrize("sequence_length", [-1, 0, 1, 2**24 + 1])
def test_an_impossible_row_length_is_refused(sequence_length: int) -> None:
    for packing in POLICIES:
        with pytest.raises(InputError, match="choose a sequence length from 2"):
            packing.pack(np.array([3], np.int64), sequence_length)


def test_a_document_without_its_closing_token_is_corrupt_data() -> None:
    with pytest.raises(CorruptDataError):
        BestFit().pack(np.array([3, 0], np.int64), 8)


def test_a_policy_is_read_back_from_its_json_and_an_unknown_one_is_named() -> None:
    changed = (BestFit(window_documents=128, block_documents=4), StartAligned(buffer_documents=7, block_documents=1))
    for packing in (*POLICIES, *changed):
        assert packing_from_dict(packing.to_dict()) == packing
    with pytest.raises(InputError, match="worst-fit"):
        packing_from_dict({"policy": "worst-fit"})
    for fields in ({"policy": "best-fit"}, {"policy": "best-fit", "window": 3}, {"policy": "concatenate", "seed": 1}):
        with pytest.raises(InputError, match="other fields"):
            packing_from_dict(fields)


@pytest.mark.parametrize(("window", "block"), [(0, 1), (8, 0), (8, 9)])
def test_an_impossible_window_is_refused(window: int, block: int) -> None:
    with pytest.raises(InputError):
        BestFit(window_documents=window, block_documents=block)
    with pytest.raises(InputError):
        BestFitTruncated(window_documents=window, block_documents=block)


@pytest.mark.parametrize(("buffer", "block"), [(0, 1), (2**24 + 1, 1), (8, 0), (8, 65_537)])
def test_an_impossible_buffer_is_refused(buffer: int, block: int) -> None:
    with pytest.raises(InputError):
        StartAligned(buffer_documents=buffer, block_documents=block)
