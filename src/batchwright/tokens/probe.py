"""Does a fast engine make exactly the reference's ids? Asked when it is loaded, once per job.

Guarantee: one string that differs disproves the engine. The strings are those on which engines have differed: runs of
spaces, Unicode 16 letters, case folding, contractions, controls, surrogates' neighbours, long words, markers in the
text; and sources of the running Python as real text. Price: ~0.2 s. A proof of these strings only, so `tokens.partial`
audits a share of the real documents too.
"""

import importlib.util
import random
import string
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol

import numpy as np
import xxhash
from numpy.typing import NDArray

_REAL_TEXT = ("textwrap", "heapq", "json.decoder", "locale", "this")
_ODD_LETTERS = "\u00a0\u1680\u2003\u2028\u2029\u3000\u200b\u200d\ufeff\x85\x0b\x0c\x1c\x1f\x00\x7f"
# fmt: off
_PIECES = (
    "'s", "'LL", " ", "  ", "\n", "\r", "\t", "é", "漢", "9", "12345", "!", "...", "A", "bc",
    "_", "\u0301", "🙂", "\u00a0", "/",
)
_FIXED = (
    "", " ", "   ", "\n", "\n\n\n", " \n \n", "\t\t x", "\r\n\r\n a\r\n", "a" * 2000, " " * 700 + "x", "\n" * 500 + "x",
    "-" * 900, "ab" * 900, "I'm you're we'VE they'LL it'S 'S 'sx don't ſ's 'ſ", "'''''''",
    "1234567890123456789", "١٢٣٤٥٦ ４５６７ ½²³", "e\u0301 cafe\u0301 Ao\u030a", "\u0300\u0301\u0302 Z̸̧̢̛a̷l̶g̵o̴",
    "İstanbul ıİ ſ K ǅ ǈ ʰ ª º", "👩‍👩‍👧‍👦👍🏽🇫🇷 🫨 \U0001fae8", "漢字かな交じり文、東京都庁。" * 8,
    "한국어 텍스트 조선", "नमस्ते दुनिया", "ภาษาไทยไม่มีช่องว่าง", "العربية مرحبا עברית",
    "\u0897x \u1c89y \U00010d4a \U00016e9a \U00016ea0x \U0001e5d0\U00016d40",
    "\ufffd\ufffd \ue000 \U0010fffd", "\x00\x01\x02\x7f a\x00b", "a \x1c b\x1fc\u2028\u2029\x85 \u180e x",
    "/*****//////\n\n//\r\n }}}}]]]]))))", "def f(x):\n    return x\n\n\n\tif y:\n\t\tpass\n",
    "https://example.com/a?b=c&d=e#frag HelloWorldFooBarBAZQux",
    "<|endoftext|>", "foo<|endoftext|>bar <|fim_prefix|> <|im_start|>user </s> [CLS]",
)
# fmt: on


class Encoder(Protocol):
    """The one method that is compared."""

    def encode_batch(self, texts: Sequence[str | bytes]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]: ...


@dataclass(frozen=True, kw_only=True)
class Proof:
    """`hash` names the strings and the reference's ids; `difference` is None, or the first text on which the engine
    differs.
    """

    strings: int
    hash: str
    difference: str | None


@cache
def nasty_strings() -> tuple[str, ...]:
    """The fixed strings, and keyed mixtures of their like: the same on every machine."""
    draw = random.Random(7)
    mixed = ["".join(draw.choices(_PIECES, k=60)) for _ in range(60)]
    spaces = ["".join(draw.choices(" \n\t\ra" + _ODD_LETTERS, k=300)) for _ in range(6)]
    letters = "".join(draw.choices(string.ascii_letters, k=3000))
    planes = [
        chr(code) for low, high in ((0x80, 0x2000), (0xA000, 0xB000), (0x1E000, 0x1F000)) for code in range(low, high)
    ]
    drawn = ["".join(draw.choices(planes, k=400)) for _ in range(8)]
    return (*_FIXED, *mixed, *spaces, letters, *drawn)


@cache
def real_text() -> tuple[str, ...]:
    """Modules of the running Python, those it has sources of."""
    found = [importlib.util.find_spec(name) for name in _REAL_TEXT]
    paths = [Path(spec.origin) for spec in found if spec is not None and spec.origin is not None]
    return tuple(path.read_text(encoding="utf-8") for path in paths if path.suffix == ".py")


def prove(engine: Encoder, reference: Encoder) -> Proof:
    """Compare two engines on every string of the probe."""
    texts = [*nasty_strings(), *real_text()]
    wanted, offsets = reference.encode_batch(texts)
    state = xxhash.xxh3_128("\0".join(texts).encode())
    state.update(wanted.astype("<u4", copy=False).tobytes())
    position = first_difference(engine, texts, wanted, offsets)
    return Proof(strings=len(texts), hash=state.hexdigest(), difference=None if position is None else texts[position])


def first_difference(
    engine: Encoder, texts: Sequence[str | bytes], wanted: NDArray[np.uint32], offsets: NDArray[np.int64]
) -> int | None:
    """The first text that the engine encodes into other ids than those wanted, or None."""
    found, found_offsets = engine.encode_batch(texts)
    if np.array_equal(found, wanted) and np.array_equal(found_offsets, offsets):
        return None
    for i in range(len(texts)):
        if not np.array_equal(found[found_offsets[i] : found_offsets[i + 1]], wanted[offsets[i] : offsets[i + 1]]):
            return i
    raise AssertionError("equal ids text by text, but not together")
