"""The picture of a (B, T) batch in a terminal: what the inputs to a Transformer are, seen at once.

Two drawings of the same arrays. The *map* shows every row; one character stands for one or more slots, its letter
and its hue for the document, ░ in that hue for slots whose target a loss mask leaves out. The *slots* show the first
rows closely: the text of every token and, under it, the id that the model reads. Guarantees: nothing relies on colour
(documents have letters, `<|endoftext|>` is ■, padding is ·, the id of a target left out stands in parentheses);
control, bidi and invisible characters are drawn, never sent to the terminal; a token that is only part of a character
says which part. What is returned is rich's `Text`, a value: a terminal prints it in colour, a report takes its
`.plain`. Price: milliseconds.
"""

import colorsys
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rich.cells import cell_len
from rich.style import Style
from rich.text import Text

from batchwright.workflows.look import BatchView

GOLDEN_ANGLE_DEGREES = 137.508  # successive hues stay as far apart as they can, however many documents there are
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
END_OF_TEXT, PADDING, MASKED = "■", "·", "░"
MAP_ROWS = 32
_END_STYLE = Style(color="white", bgcolor="black", bold=True, reverse=False)
_PADDING_STYLE = Style(dim=True)
_LABEL_STYLE = Style(dim=True)
_SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
_NAMED = {" ": "␣", "\n": "⏎", "\t": "⇥", "\r": "␍"}
_LONG_RUN = re.compile(r"(.)\1{3,}")
MAX_TOKEN_CELLS = 24


@dataclass(frozen=True, kw_only=True)
class Palette:
    """Letters and hues of the documents of one batch, in order of appearance."""

    numbers: dict[int, int]  # document → its place in the order of appearance

    @classmethod
    def of(cls, view: BatchView) -> "Palette":
        present = view.documents[view.documents >= 0]
        _, first = np.unique(present, return_index=True)
        return cls(numbers={int(document): place for place, document in enumerate(present[np.sort(first)])})

    def letter(self, document: int) -> str:
        return LETTERS[self.numbers[document] % len(LETTERS)]

    def style(self, document: int) -> Style:
        hue = (self.numbers[document] * GOLDEN_ANGLE_DEGREES % 360) / 360
        red, green, blue = (round(255 * part) for part in colorsys.hls_to_rgb(hue, 0.78, 0.65))
        return Style(color="black", bgcolor=f"#{red:02x}{green:02x}{blue:02x}")


def draw_map(view: BatchView, *, width: int, limit: int = MAP_ROWS) -> tuple[Text, int]:
    """The first `limit` rows whole, and how many slots one character stands for."""
    palette = Palette.of(view)
    rows, length = min(limit, view.inputs.shape[0]), view.inputs.shape[1]
    margin = len(str(rows - 1)) + 2
    slots = max(1, -(-length // max(8, width - margin)))
    picture = Text(no_wrap=True, overflow="crop")
    for row in range(rows):
        picture.append(f"{row:>{margin - 2}}  ")
        for begin in range(0, length, slots):
            part = slice(begin, begin + slots)
            picture.append(*_map_cell(view, palette, row, part))
        picture.append("\n")
    picture.right_crop(1)
    return picture, slots


def _map_cell(view: BatchView, palette: Palette, row: int, part: slice) -> tuple[str, Style]:
    documents = view.documents[row, part]
    if (view.inputs[row, part][documents >= 0] == view.eot_id).any():
        return END_OF_TEXT, _END_STYLE
    if (documents < 0).all():
        return PADDING, _PADDING_STYLE
    document = int(documents[documents >= 0][0])
    learned = view.loss_mask[row, part].any()
    return palette.letter(document) if learned else MASKED, palette.style(document)


def draw_slots(view: BatchView, row: int, *, width: int, lines: int, labels: Sequence[str], first: int = 0) -> Text:
    """The slots of one row from `first` on, as many as fit into `lines` lines of `width`.

    Each line is a block of rows named by `labels`: the tokens' text, the ids the model reads, the ids it must predict.
    """
    palette = Palette.of(view)
    words = token_words([view.token_bytes(int(i)) for i in view.inputs[row]], view.documents[row].tolist())
    margin = max(cell_len(label) for label in labels) + 2
    picture, column = Text(no_wrap=True, overflow="crop"), first
    for _ in range(lines):
        block, column = _slots_of_a_line(view, palette, words, row, column, width - margin)
        if not block[0]:
            break
        for label, line in zip(labels, block, strict=True):
            picture.append(_padded(label, margin), _LABEL_STYLE).append_text(line).append("\n")
        picture.append("\n")
    picture.right_crop(2)
    return picture


def _slots_of_a_line(
    view: BatchView, palette: Palette, words: Sequence[str], row: int, column: int, width: int
) -> tuple[tuple[Text, Text, Text], int]:
    """(texts, ids, targets) of the slots from `column` on that fit into `width`, and the column after them."""
    texts, ids, targets, used = Text(), Text(), Text(), 0
    while column < view.inputs.shape[1]:
        document, token, target = (int(array[row, column]) for array in (view.documents, view.inputs, view.targets))
        if document < 0:
            word, style = PADDING, _PADDING_STYLE
        elif token == view.eot_id:
            word, style = f"{END_OF_TEXT} <|endoftext|>", _END_STYLE
        else:
            word, style = words[column], palette.style(document)
        following = f"({target})" if document >= 0 and not view.loss_mask[row, column] else str(target)
        cells = 1 + max(cell_len(word), len(str(token)), len(following))
        if used + cells > width:
            break
        texts.append(_padded(word, cells), style)
        ids.append(f"{token:<{cells}}", style)
        targets.append(f"{following:<{cells}}", _LABEL_STYLE)
        used, column = used + cells, column + 1
    return (texts, ids, targets), column


def draw_legend(view: BatchView, *, width: int, limit: int) -> Text:
    """Which letter is which document, with its file and how many slots of the batch it fills."""
    palette = Palette.of(view)
    picture = Text(no_wrap=True, overflow="ellipsis")
    for document in list(palette.numbers)[:limit]:
        slots = int((view.documents == document).sum())
        picture.append(f" {palette.letter(document)} ", palette.style(document))
        picture.append(f" {slots:>6,}  {visible(view.document_name(document)).replace('␣', ' ')}\n")
    picture.right_crop(1)
    return picture


def token_words(pieces: Sequence[bytes], documents: Sequence[int]) -> list[str]:
    """Each token's text made visible. A character spread over tokens appears in each of them with its part: 中₁ 中₂."""
    words = [""] * len(pieces)
    begin = 0
    while begin < len(pieces):
        end = begin
        while end < len(pieces) and documents[end] == documents[begin]:
            end += 1
        for offset, word in enumerate(_words_of_run(pieces[begin:end])):
            words[begin + offset] = word
        begin = end
    return [_shortened(word) for word in words]


def _words_of_run(pieces: Sequence[bytes]) -> list[str]:
    """Walk the characters of the joined bytes, and give each to the tokens that hold its bytes."""
    joined = b"".join(pieces)
    owner = np.repeat(np.arange(len(pieces)), [len(piece) for piece in pieces])
    words = [""] * len(pieces)
    place = 0
    while place < len(joined):
        character, size = _character_at(joined, place)
        owners = list(dict.fromkeys(owner[place : place + size].tolist()))
        for number, token in enumerate(owners, start=1):
            part = str(number).translate(_SUBSCRIPTS) if len(owners) > 1 else ""
            words[token] += character + part
        place += size
    return words


def _character_at(joined: bytes, place: int) -> tuple[str, int]:
    """The character that begins at `place`, or its byte in hexadecimal when no whole character does."""
    lead = joined[place]
    size = 1 if lead < 0x80 else 2 if lead >> 5 == 0b110 else 3 if lead >> 4 == 0b1110 else 4
    try:
        return visible(joined[place : place + size].decode("utf-8")), size
    except UnicodeDecodeError:
        return f"‹{lead:02x}›", 1


def visible(text: str) -> str:
    """The text with everything that a terminal would obey, hide or reorder drawn as a sign instead."""
    if text.isascii() and text.isprintable() and " " not in text:
        return text
    return "".join(_sign(character) for character in text)


def visible_lines(text: str) -> str:
    """Text to be read as lines: spaces and line breaks as they are, everything else as `visible` draws it."""
    lines = text.expandtabs(4).split("\n")
    return "\n".join(visible(line).replace(_NAMED[" "], " ") for line in lines)


def _sign(character: str) -> str:
    if character in _NAMED:
        return _NAMED[character]
    code, category = ord(character), unicodedata.category(character)
    if code < 0x20:
        return chr(0x2400 + code)
    if category[0] in "CZ" or category in ("Mn", "Me") or cell_len(character) == 0:
        return f"‹U+{code:04X}›"
    return character


def _shortened(word: str) -> str:
    """A line break and 16 spaces may be one token: one sign with a count says it in less room."""
    word = _LONG_RUN.sub(lambda run: f"{run[1]}×{len(run[0])}", word)
    if cell_len(word) <= MAX_TOKEN_CELLS:
        return word
    kept = word
    while cell_len(kept) > MAX_TOKEN_CELLS - 1:
        kept = kept[:-1]
    return kept + "…"


def _padded(word: str, cells: int) -> str:
    return word + " " * (cells - cell_len(word))
