"""Lines end at b"\\n" only, belong to the range in which they begin, and never fill the memory."""

from hypothesis import given
from hypothesis import strategies as st

from batchwright.documents.lines import lines


def collect(
    content: bytes, start: int = 0, stop: int | None = None, chunk: int = 7, cap: int = 1000
) -> list[tuple[int, bytes | int]]:
    """Lines (or lengths of those above the cap) of one range, read in small chunks."""
    found: list[tuple[int, bytes | int]] = []
    begin = max(start - 1, 0)
    pieces = (content[at : at + chunk] for at in range(begin, len(content), chunk))
    for offset, line in lines(
        pieces, start=start, stop=stop, too_long=lambda at, n: found.append((at, n)), cap_bytes=cap
    ):
        found.append((offset, line))
    return found


def twin(content: bytes, cap: int) -> list[tuple[int, bytes | int]]:
    """The same, from the whole content at once."""
    found: list[tuple[int, bytes | int]] = []
    offset = 0
    parts = content.split(b"\n")
    for line in parts if parts[-1] else parts[:-1]:
        found.append((offset, line if len(line) <= cap else len(line)))
        offset += len(line) + 1
    return found


@given(
    content=st.lists(st.sampled_from([b"\n", b"a", b"bc", b"\r", "\u2028".encode(), b"x" * 20])).map(b"".join),
    cuts=st.lists(st.integers(0, 200)),
    chunk=st.integers(1, 40),
    cap=st.sampled_from([3, 19, 1000]),
)
def test_every_cut_into_ranges_and_chunks_gives_each_line_once(
    content: bytes, cuts: list[int], chunk: int, cap: int
) -> None:
    edges = [0, *sorted({cut for cut in cuts if 0 < cut < len(content)})]
    stops: list[int | None] = [*edges[1:], None]
    found = [
        pair for start, stop in zip(edges, stops, strict=True) for pair in collect(content, start, stop, chunk, cap)
    ]
    assert found == twin(content, cap)


def test_a_line_that_begins_exactly_at_a_range_belongs_to_that_range() -> None:
    assert collect(b"ab\ncd\n", 0, 3) == [(0, b"ab")]
    assert collect(b"ab\ncd\n", 3, None) == [(3, b"cd")]


def test_a_line_separator_of_unicode_is_no_line_end() -> None:
    content = "a\u2028b\u0085c\n".encode()
    assert collect(content) == [(0, content[:-1])]


def test_a_range_inside_one_endless_line_stops_at_its_own_end() -> None:
    consumed = 0

    def endless() -> object:
        nonlocal consumed
        while True:
            consumed += 10
            yield b"x" * 10

    assert list(lines(endless(), start=5, stop=1000, too_long=lambda at, n: None)) == []  # type: ignore[arg-type]
    assert consumed < 1100
