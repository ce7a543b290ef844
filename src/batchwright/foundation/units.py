"""Numbers as people read them, and back. Binary units for bytes (KiB = 1,024), decimal for counts (k = 1,000)."""

import re

from batchwright.foundation.errors import InputError

KiB = 1024
MiB = 1024 * KiB
GiB = 1024 * MiB

_COUNT = re.compile(r"^\s*(\d[\d_,]*(?:\.\d+)?)\s*([kKmMgGbBtT]?)\s*$")
_FACTORS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "b": 10**9, "t": 10**12}


def format_bytes(size: float) -> str:
    """1536 → '1.5 KiB'."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(size) < 1024 or unit == "TiB":
            return f"{size:,.0f} {unit}" if unit == "B" else f"{size:,.1f} {unit}"
        size /= 1024
    raise AssertionError("unreachable")


def format_count(count: float) -> str:
    """2_100_000 → '2.10 M'; below 10,000 the number itself, with separators."""
    if abs(count) < 10_000:
        return f"{count:,.0f}" if float(count).is_integer() else f"{count:,.1f}"
    for factor, unit in ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k")):
        if abs(count) >= factor:
            return f"{count / factor:.3g} {unit}" if abs(count) >= 100 * factor else f"{count / factor:.2f} {unit}"
    raise AssertionError("unreachable")


def format_seconds(seconds: float) -> str:
    """95.2 → '1 min 35 s'."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"


def parse_count(text: str) -> int:
    """'2M', '2_000_000', '0.5 G' → an exact integer.

    Raises InputError when the text is no count or not a whole number.
    """
    match = _COUNT.match(text)
    if match is None:
        raise InputError(f"'{text}' is not a count", remedy="a whole number such as 4096, 32k, 2M or 1.5G")
    digits, unit = match[1].replace("_", "").replace(",", ""), match[2].lower()
    whole, _, decimals = digits.partition(".")
    scaled = int(whole + decimals) * _FACTORS[unit]
    count, rest = divmod(scaled, 10 ** len(decimals))
    if rest:
        raise InputError(f"'{text}' is not a whole number", remedy="a whole number such as 4096, 32k, 2M or 1.5G")
    return count
