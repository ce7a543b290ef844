"""The picture shows every slot, relies on no colour and sends nothing to the terminal that a terminal would obey."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from batchwright.workflows.look import BatchView
from batchwright.workflows.picture import Palette, draw_legend, draw_map, draw_slots, token_words, visible

END = 256


def a_batch(texts: list[list[bytes]], length: int) -> BatchView:
    """Rows of documents in bytes as tokens, each document after its separator; the rest is padding."""
    inputs = np.zeros((len(texts), length), dtype=np.int64)
    documents = np.full((len(texts), length), -1, dtype=np.int64)
    number = 0
    for row, parts in enumerate(texts):
        column = 0
        for text in parts:
            ids = [END, *text]
            inputs[row, column : column + len(ids)] = ids
            documents[row, column : column + len(ids)] = number
            column, number = column + len(ids), number + 1
    return BatchView(
        step=0,
        inputs=inputs,
        targets=np.roll(inputs, -1, axis=1),
        loss_mask=documents >= 0,
        position_ids=np.zeros(inputs.shape, dtype=np.int32),
        documents=documents,
        cu_seqlens=np.zeros(2, dtype=np.int32),
        eot_id=END,
        token_bytes=lambda token: bytes([token]) if token < END else b"",
        document_name=lambda document: f"file {document}.txt",
    )


def test_a_row_reads_without_colour() -> None:
    picture, slots = draw_map(a_batch([[b"xyz", b"pq"], [b"12345"]], 10), width=40)
    assert slots == 1
    assert picture.plain == "0  ■aaa■bb···\n1  ■ccccc····"


def test_a_masked_target_is_told_from_others_without_colour() -> None:
    view = a_batch([[b"xyz", b"pq"], [b"12345"]], 10)
    view.loss_mask[0, :3] = False
    picture, _ = draw_map(view, width=40)
    assert picture.plain == "0  ■░░a■bb···\n1  ■ccccc····"
    close = draw_slots(view, 0, width=80, lines=1, labels=("text", "id", "next")).plain.splitlines()[2].split()
    assert close[1:5] == ["(120)", "(121)", "(122)", "256"]


def test_a_long_row_is_drawn_with_fewer_characters_and_loses_no_separator() -> None:
    view = a_batch([[b"x" * 99, b"y" * 50]], 200)
    picture, slots = draw_map(view, width=43)
    assert slots == 5
    assert picture.plain.count("■") == 2
    assert max(len(line) for line in picture.plain.splitlines()) <= 43


def test_text_and_ids_stand_side_by_side() -> None:
    picture = draw_slots(a_batch([[b"a b"]], 8), 0, width=60, lines=1, labels=("text", "id", "next"))
    lines = [line.split() for line in picture.plain.splitlines()]
    assert lines[0] == ["text", "■", "<|endoftext|>", "a", "␣", "b", "·", "·", "·", "·"]
    assert lines[1] == ["id", "256", "97", "32", "98", "0", "0", "0", "0"]
    assert lines[2] == ["next", "97", "32", "98", "0", "0", "0", "0", "256"]


def test_the_slots_stay_within_the_width_and_end_with_the_row() -> None:
    view = a_batch([[bytes(range(60, 160))]], 128)
    picture = draw_slots(view, 0, width=50, lines=3, labels=("文字", "编号", "下一个"))
    assert max(cell_len(line) for line in picture.plain.splitlines()) <= 50
    whole = draw_slots(view, 0, width=50, lines=99, labels=("", "", "")).plain
    ids = [word for block in whole.split("\n\n") for word in block.splitlines()[1].split()]
    assert ids == [str(i) for i in view.inputs[0].tolist()]


def test_every_document_has_its_own_hue_and_letter() -> None:
    palette = Palette(numbers={document: place for place, document in enumerate(range(100, 140))})
    assert len({palette.style(d).bgcolor for d in range(100, 140)}) == 40
    assert len({palette.letter(d) for d in range(100, 140)}) == 40


def test_the_legend_names_the_documents() -> None:
    legend = draw_legend(a_batch([[b"xyz", b"pq"]], 10), width=60, limit=8).plain
    assert legend.splitlines() == [" a       4  file 0.txt", " b       3  file 1.txt"]


def test_a_character_made_of_several_tokens_says_so() -> None:
    pieces = [bytes([b]) for b in "中".encode()]
    assert token_words(pieces, [0, 0, 0]) == ["中₁", "中₂", "中₃"]
    assert token_words([b"a\xe4", b"\xb8\xadb"], [0, 0]) == ["a中₁", "中₂b"]


def test_bytes_that_are_no_character_are_shown_as_bytes() -> None:
    assert token_words([b"\xff", b"\xe4"], [0, 0]) == ["‹ff›", "‹e4›"]
    assert token_words([b"\xe4", b"\xb8\xad"], [0, 1]) == ["‹e4›", "‹b8›‹ad›"], "a character never crosses documents"


def test_controls_bidi_and_invisible_characters_are_drawn() -> None:
    assert visible("\x1b[31m\u202e\u200b\x07\r\n\t ") == "␛[31m‹U+202E›‹U+200B›␇␍⏎⇥␣"


@given(st.text())
def test_no_text_moves_the_cursor(text: str) -> None:
    shown = visible(text)
    assert shown.isprintable()
    assert cell_len(shown) >= len(shown), "every sign takes room"


@given(st.lists(st.binary(min_size=1, max_size=6), min_size=1, max_size=12))
def test_no_byte_of_any_token_is_lost(pieces: list[bytes]) -> None:
    words = token_words(pieces, [0] * len(pieces))
    assert len(words) == len(pieces)
    assert all(words)
