"""Which texts every engine's tables of Unicode read alike: those of characters that Unicode 14 (2021) already had.

Engines are built with tables of different years. What was assigned stays what it is (Unicode's stability policy: a
character keeps its normal form, and letters do not cease to be letters), what is younger is a letter to one and nothing
to the other. Measured on every code point, gigatoken 0.10.0 differs from `tokenizers` 0.23.3 on 551 of them with
DeepSeek-V3's vocabulary, 13 with Llama 3's, 3 with Qwen3's, and all of them are younger
(`python -m benchmarks.tokenizers`). So a text with such a character is given to the reference.

`unicode_14.txt` holds the assigned ranges in hexadecimal, as Python 3.11's `unicodedata` knows them. Price: text of
ASCII is recognised at memory speed; of other text only the characters beyond ASCII are looked at, 5 ns each, without
numba, whose start costs as much as encoding 100 MB.
"""

from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_ASCII = bytes(range(0x80))


def is_settled(utf8: bytes) -> bool:
    """True where all characters of this UTF-8 text are older than the tables that engines disagree with."""
    if utf8.isascii():
        return True
    beyond_ascii = utf8.translate(None, _ASCII).decode()
    return bool(settled_code_points()[np.frombuffer(beyond_ascii.encode("utf-32-le"), "<u4")].all())


@cache
def settled_code_points() -> NDArray[np.bool_]:
    """(0x110000,) bool: assigned in Unicode 14."""
    table = np.zeros(0x110000, np.bool_)
    for part in Path(__file__).with_name("unicode_14.txt").read_text("ascii").split():
        first, _, last = part.partition("-")
        table[int(first, 16) : int(last or first, 16) + 1] = True
    return table
