"""HTML read from left to right, once: tags become line breaks, what is between them stays.

    <p>One <b>bold</b>   word<br>next<td><p>cell</p></td><script>x</script>End    →    One bold word␊next⇥cell␊␊End

White space collapses, as browsers do it, outside <pre>. A gap is remembered as the widest of (blank, tab, line, blank
line) and written when the next visible byte comes, so nothing begins or ends with one.

Guarantee: linear time, memory of one copy of the text, no recursion, whatever the nesting: a tag is what a browser's
tokenizer takes for one (a "<" before a letter, a slash and a letter, "!" or "?"), every other "<" is text. Element
trees are not built, so misnested tags cost nothing and move nothing; text that a style shows elsewhere stays where it
stood. Price: 200 to 300 MB of HTML per CPU-second. A library's parser was given up for it: docs/decisions/0100.
"""

import numpy as np
from numpy.typing import NDArray

from batchwright.documents.html_elements import (
    BLOCK,
    BREAK,
    CELL,
    FURNITURE,
    HIDDEN,
    PARAGRAPH,
    PREFORMATTED,
    ROW,
    hash_name,
    kind_of,
)
from batchwright.foundation.compiled import hot_loop

_TAB, _NEWLINE, _BLANK, _AMPERSAND, _SLASH, _LESS, _EQUALS, _MORE = 9, 10, 32, 38, 47, 60, 61, 62
_NOTHING, _SPACE, _CELL, _LINE, _PARAGRAPH = range(5)  # gaps, by width


@hot_loop
def is_letter(byte: int) -> bool:
    """An ASCII letter."""
    return 97 <= byte | 32 <= 122


@hot_loop
def is_blank(byte: int) -> bool:
    """White space of HTML: blank, tab, newline, form feed, carriage return."""
    return byte in (_BLANK, _TAB, _NEWLINE, 12, 13)


@hot_loop
def starts_with(text: NDArray[np.uint8], place: int, wanted: bytes) -> bool:
    """Whether text[place:] begins with these bytes."""
    if place + len(wanted) > len(text):
        return False
    for number in range(len(wanted)):  # noqa: SIM110 - compiled
        if text[place + number] != wanted[number]:
            return False
    return True


@hot_loop
def find(text: NDArray[np.uint8], place: int, wanted: bytes) -> int:
    """The first place from `place` on where these bytes begin, or the text's length."""
    while place < len(text):
        if text[place] == wanted[0] and starts_with(text, place, wanted):
            return place
        place += 1
    return place


@hot_loop
def name_end(text: NDArray[np.uint8], place: int) -> int:
    """Where the name of a tag that begins at `place` ends."""
    while place < len(text):
        byte = text[place]
        if is_blank(byte) or byte in (_SLASH, _MORE):
            break
        place += 1
    return place


@hot_loop
def tag_end(text: NDArray[np.uint8], place: int) -> int:
    """The place after the ">" that closes a tag, from somewhere after its name; a quoted value may hold one."""
    while place < len(text):
        byte = text[place]
        place += 1
        if byte == _MORE:
            return place
        if byte == _EQUALS:
            while place < len(text) and is_blank(text[place]):
                place += 1
            if place < len(text) and (text[place] == 34 or text[place] == 39):
                quote = text[place]
                place += 1
                while place < len(text) and text[place] != quote:
                    place += 1
                place += 1
    return len(text)


@hot_loop
def declaration_end(text: NDArray[np.uint8], place: int) -> int:
    """The place after a comment, doctype or processing instruction that begins at `place`."""
    if not starts_with(text, place, b"<!--"):
        return min(find(text, place, b">") + 1, len(text))
    if starts_with(text, place + 4, b">"):
        return place + 5
    return min(find(text, place + 4, b"-->") + 3, len(text))


@hot_loop
def after_hidden(text: NDArray[np.uint8], place: int, name: np.uint64) -> int:
    """The place after the closing tag of this name, or the text's end."""
    while place < len(text):
        place = find(text, place, b"</")
        stop = name_end(text, min(place + 2, len(text)))
        if place < len(text) and hash_name(text, place + 2, stop) == name:
            return tag_end(text, stop)
        place = stop
    return len(text)


@hot_loop
def after_furniture(text: NDArray[np.uint8], place: int, name: np.uint64) -> int:
    """The place after the closing tag that belongs to an open element of this name, or −1."""
    depth = 1
    while place < len(text):
        place = find(text, place, b"<")
        closing = place + 1 < len(text) and text[place + 1] == _SLASH
        first = min(place + 1 + closing, len(text))
        stop = name_end(text, first)
        if stop > first and hash_name(text, first, stop) == name:
            depth += -1 if closing else 1
            place = tag_end(text, stop)
            if depth == 0:
                return place
        else:
            place = max(stop, place + 1)
    return -1


@hot_loop
def has_furnitures_role(text: NDArray[np.uint8], place: int, end: int) -> bool:
    """Whether the attributes in text[place:end] say that an element is furniture."""
    place = find(text[:end], place, b"role=")
    if place + 6 >= end or not is_blank(text[place - 1]):
        return False
    place += 6 if text[place + 5] == 34 or text[place + 5] == 39 else 5
    return (
        starts_with(text, place, b"navigation")
        or starts_with(text, place, b"search")
        or starts_with(text, place, b"contentinfo")
        or starts_with(text, place, b"complementary")
    )


@hot_loop
def gap_after(kind: int, gap: int) -> int:
    """The gap that a tag of this kind leaves where there was `gap`."""
    if kind in (PARAGRAPH, PREFORMATTED):
        return _PARAGRAPH
    if kind == BREAK:
        return _PARAGRAPH if gap >= _LINE else _LINE
    if kind in (BLOCK, FURNITURE, ROW):
        return max(gap, _LINE)
    if kind == CELL:
        return max(gap, _CELL)
    return gap


@hot_loop
def write_gap(out: NDArray[np.uint8], count: int, gap: int) -> int:
    """Write a gap behind `count` bytes; how many there are then."""
    if gap >= _LINE:
        while count > 0 and is_blank(out[count - 1]):
            count -= 1
    if count == 0 or gap == _NOTHING:
        return count
    if gap in (_SPACE, _CELL):
        out[count] = _BLANK if gap == _SPACE else _TAB
        return count + 1
    out[count] = _NEWLINE
    out[count + 1] = _NEWLINE
    return count + (2 if gap == _PARAGRAPH else 1)


@hot_loop
def no_break_space(text: NDArray[np.uint8], place: int) -> int:
    """How many bytes of a no-break space, as character or reference, stand at `place`; 0: none."""
    if text[place] == 0xC2:
        return 2 if starts_with(text, place, b"\xc2\xa0") else 0
    if text[place] != _AMPERSAND:
        return 0
    if starts_with(text, place, b"&nbsp;") or starts_with(text, place, b"&#160;"):
        return 6
    if starts_with(text, place, b"&#xa0;") or starts_with(text, place, b"&#xA0;"):
        return 6
    return 5 if starts_with(text, place, b"&nbsp") else 0


@hot_loop
def visible_text(
    text: NDArray[np.uint8],
    names: NDArray[np.uint64],
    kinds: NDArray[np.uint8],
    furniture: bool,
) -> tuple[NDArray[np.uint8], int, int]:
    """(what is left of the text, with character references still in it; known tags, bytes of theirs).

    furniture: whether navigation, footers, asides and what has such a role stay. One that is never closed stays, and so
    does all after it.
    """
    out = np.empty(len(text) + 2, np.uint8)
    count, place, gap, preformatted = 0, 0, _NOTHING, 0
    tags, tag_bytes = 0, 0
    fresh, row, lines = (
        False,
        False,
        False,
    )  # in a cell without text so far; it has one before it; that has several lines
    while place < len(text):
        byte = text[place]
        if byte == _LESS and place + 1 < len(text):
            after = int(text[place + 1])
            if after == 33 or after == 63:
                place = declaration_end(text, place)
                continue
            closing = after == _SLASH
            first = place + 1 + closing
            if first < len(text) and is_letter(text[first]):
                stop = name_end(text, first)
                name = hash_name(text, first, stop)
                kind = kind_of(names, kinds, name)
                end = tag_end(text, stop)
                if kind:
                    tags += 1
                    tag_bytes += end - place
                place = end
                if kind == CELL and not closing:
                    gap = _CELL if row and not lines else gap_after(kind, gap)
                    fresh, row, lines = True, True, False
                elif not fresh or kind == ROW:
                    gap = gap_after(kind, gap)
                if kind == ROW:
                    gap = _LINE if row and not lines else gap
                    row = False
                fresh = fresh and kind != ROW and not (closing and kind == CELL)
                if kind == PREFORMATTED:
                    preformatted = max(0, preformatted - 1) if closing else preformatted + 1
                    place += not closing and place < len(text) and text[place] == _NEWLINE
                if kind == HIDDEN and not closing:
                    place = after_hidden(text, place, name)
                elif (
                    not furniture
                    and kind
                    and not closing
                    and (kind == FURNITURE or (kind in (BLOCK, PARAGRAPH) and has_furnitures_role(text, stop, end)))
                ):
                    end = after_furniture(text, place, name)
                    furniture = end < 0
                    place = place if furniture else end
                continue
        space = no_break_space(text, place)
        if space or (is_blank(int(byte)) and not preformatted):
            gap = max(gap, _SPACE)
            place += max(space, 1)
            continue
        lines = lines or byte == _NEWLINE or (gap >= _LINE and not fresh)
        fresh = False
        count = write_gap(out, count, gap)
        gap = _NOTHING
        out[count] = byte
        count += 1
        place += 1
    return out[:count], tags, tag_bytes
