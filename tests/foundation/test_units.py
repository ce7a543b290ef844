import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwright.foundation.errors import InputError
from batchwright.foundation.units import format_bytes, format_count, format_seconds, parse_count


@pytest.mark.parametrize(
    ("text", "count"), [("4096", 4096), ("32k", 32_000), ("2M", 2_000_000), ("1.5 G", 1_500_000_000), ("2_000", 2000)]
)
def test_counts_are_read_as_people_write_them(text: str, count: int):
    assert parse_count(text) == count


@pytest.mark.parametrize("text", ["", "k", "-5", "1.5", "2MB", "NaN", "1e6", "0.0001k"])
def test_what_is_no_whole_count_is_refused(text: str):
    with pytest.raises(InputError):
        parse_count(text)


@given(st.integers(0, 10**18))
def test_any_whole_number_reads_back_exactly(count: int):
    assert parse_count(str(count)) == parse_count(f"{count:,}") == count


def test_numbers_are_shown_with_their_units():
    assert [format_bytes(n) for n in (0, 1023, 1536, 3 * 2**30)] == ["0 B", "1,023 B", "1.5 KiB", "3.0 GiB"]
    assert [format_count(n) for n in (12, 9_999, 12_345, 2_100_000)] == ["12", "9,999", "12.35 k", "2.10 M"]
    assert [format_seconds(s) for s in (0.02, 5, 95.2, 7260)] == ["20 ms", "5.0 s", "1 min 35 s", "2 h 01 min"]
