"""Which texts every engine's tables of Unicode read alike: those of characters that Unicode 14 (2021) already had.

Engines are built with tables of different years. What was assigned stays what it is (Unicode's stability policy: a
character keeps its normal form, and letters do not cease to be letters), what is younger is a letter to one and nothing
to the other. Measured on every code point, gigatoken 0.10.0 differs from `tokenizers` 0.23.3 on 551 of them with
DeepSeek-V3's vocabulary, 13 with Llama 3's, 3 with Qwen3's, and all of them are younger
(`python -m benchmarks.tokenizers`). So a text with such a character is given to the reference.

`unicode_14.txt` holds the assigned ranges in hexadecimal, as Python 3.11's `unicodedata` knows them. Price: text of
ASCII is recognised at memory speed, other text at ~1 GB/s.
"""

from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from batchwright.foundation.compiled import hot_loop


def is_settled(utf8: bytes) -> bool:
    """True where all characters of this UTF-8 text are older than the tables that engines disagree with."""
    return utf8.isascii() or bool(_all_of(np.frombuffer(utf8, np.uint8), settled_code_points()))


@cache
def settled_code_points() -> NDArray[np.bool_]:
    """(0x110000,) bool: assigned in Unicode 14."""
    table = np.zeros(0x110000, np.bool_)
    for part in Path(__file__).with_name("unicode_14.txt").read_text("ascii").split():
        first, _, last = part.partition("-")
        table[int(first, 16) : int(last or first, 16) + 1] = True
    return table


@hot_loop
def _all_of(utf8: NDArray[np.uint8], table: NDArray[np.bool_]) -> bool:
    code = 0
    for i in range(utf8.shape[0]):
        byte = int(utf8[i])
        if byte < 0x80:
            continue
        lead = byte & (0x1F if byte < 0xE0 else 0x0F if byte < 0xF0 else 0x07)
        code = code << 6 | (byte & 0x3F) if byte < 0xC0 else lead
        if i + 1 < utf8.shape[0] and utf8[i + 1] & 0xC0 == 0x80:
            continue  # the character goes on
        if code >= table.shape[0] or not table[code]:
            return False
    return True
