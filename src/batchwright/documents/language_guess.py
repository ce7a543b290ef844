"""Which script and which language a text is probably in, without a model.

    script      most of the letters' Unicode block: Latin, Cyrillic, Han …
    language    where one language has a script to itself, that one; Han with kana is Japanese; of languages that share
                a script, the one whose stop words (`filters.languages`, those of two letters and more) make up most of
                the words: at least 5 % of them, three different ones, 1.2 times as many as any other language's

Guarantee: a function of the text; it says "unknown" rather than guess from little. It knows the languages of the
filters' table and is a sieve for a corpus, not a classifier: lists, tables and program text are mostly "unknown".
Price: a pass over the letters, and one over the words for every language that shares the script. What it says of the
corpora stands in docs/lab-notes.md.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from batchwright.documents.filters.languages import LANGUAGES

UNKNOWN = "unknown"
LEAST_SHARE, LEAST_LEAD, LEAST_DIFFERENT = 0.05, 1.2, 3

# (first code point, script), ascending; a block reaches to the next. "" is no letter.
_BLOCKS: tuple[tuple[int, str], ...] = (
    (0x0000, ""),
    (0x0041, "Latin"),
    (0x005B, ""),
    (0x0061, "Latin"),
    (0x007B, ""),
    (0x00C0, "Latin"),
    (0x0250, ""),
    (0x0370, "Greek"),
    (0x0400, "Cyrillic"),
    (0x0530, "Armenian"),
    (0x0590, "Hebrew"),
    (0x0600, "Arabic"),
    (0x0700, ""),
    (0x0750, "Arabic"),
    (0x0780, ""),
    (0x0900, "Devanagari"),
    (0x0980, "Bengali"),
    (0x0A00, ""),
    (0x0B80, "Tamil"),
    (0x0C00, ""),
    (0x0E00, "Thai"),
    (0x0E80, "Lao"),
    (0x0F00, ""),
    (0x1000, "Burmese"),
    (0x10A0, "Georgian"),
    (0x1100, "Hangul"),
    (0x1200, ""),
    (0x1780, "Khmer"),
    (0x1800, ""),
    (0x1E00, "Latin"),
    (0x1F00, "Greek"),
    (0x2000, ""),
    (0x3041, "Kana"),
    (0x3100, ""),
    (0x3400, "Han"),
    (0x4DC0, ""),
    (0x4E00, "Han"),
    (0xA000, ""),
    (0xAC00, "Hangul"),
    (0xD7A4, ""),
    (0xF900, "Han"),
    (0xFB00, ""),
    (0x20000, "Han"),
    (0x33480, ""),
)
_STARTS = np.array([first for first, _ in _BLOCKS])
SCRIPTS = tuple(sorted({script for _, script in _BLOCKS} - {""}))
_SCRIPT_OF_BLOCK = np.array([SCRIPTS.index(script) if script else len(SCRIPTS) for _, script in _BLOCKS])
_OWN_SCRIPT = {
    "Armenian": "hy",
    "Bengali": "bn",
    "Burmese": "my",
    "Georgian": "ka",
    "Greek": "el",
    "Han": "zh",
    "Hangul": "ko",
    "Hebrew": "he",
    "Kana": "ja",
    "Khmer": "km",
    "Lao": "lo",
    "Tamil": "ta",
    "Thai": "th",
}
_WORD = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class LanguageGuess:
    """Both "unknown" where a text has no letters to speak of."""

    script: str
    language: str


def guess_language(text: str) -> LanguageGuess:
    """What a text is probably written in."""
    counts = _letters(text)
    if not counts.sum():
        return LanguageGuess(script=UNKNOWN, language=UNKNOWN)
    by_script = dict(zip(SCRIPTS, counts.tolist(), strict=True))
    script = max(by_script, key=lambda name: by_script[name])
    if script in ("Han", "Kana"):
        # Japanese text is a quarter kana at the least; a Chinese one that quotes a title is not.
        japanese = by_script["Kana"] > 0.1 * (by_script["Han"] + by_script["Kana"])
        return LanguageGuess(script="Kana" if japanese else "Han", language="ja" if japanese else "zh")
    if script in _OWN_SCRIPT:
        return LanguageGuess(script=script, language=_OWN_SCRIPT[script])
    return LanguageGuess(script=script, language=_by_stop_words(_WORD.findall(text.lower()), script))


def _letters(text: str) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    """(scripts,) letters of each."""
    points = np.frombuffer(text.encode("utf-32-le", "replace"), "<u4")
    blocks = np.searchsorted(_STARTS, points, side="right") - 1
    return np.bincount(_SCRIPT_OF_BLOCK[blocks], minlength=len(SCRIPTS) + 1)[:-1]


def _by_stop_words(words: list[str], script: str) -> str:
    if not words:
        return UNKNOWN
    shares = sorted(
        ((sum(word in stop for word in words) / len(words), name) for name, stop in _STOP_WORDS.get(script, ())),
        reverse=True,
    )
    if len(shares) < 2 or shares[0][0] < max(LEAST_SHARE, LEAST_LEAD * shares[1][0]):
        return UNKNOWN
    name = shares[0][1]
    different = len(set(words) & dict(_STOP_WORDS[script])[name])
    return name if different >= LEAST_DIFFERENT else UNKNOWN


def _stop_words_by_script() -> dict[str, list[tuple[str, frozenset[str]]]]:
    found: dict[str, list[tuple[str, frozenset[str]]]] = {}
    for name, language in LANGUAGES.items():
        if language.stop_words and language.characters_per_word is None and name not in _OWN_SCRIPT.values():
            script = SCRIPTS[int(_letters("".join(language.stop_words)).argmax())]
            found.setdefault(script, []).append((name, frozenset(w for w in language.stop_words if len(w) > 1)))
    return found


_STOP_WORDS = _stop_words_by_script()


def languages_known() -> Iterable[str]:
    """Languages that can be guessed."""
    return sorted({*_OWN_SCRIPT.values(), *(name for names in _STOP_WORDS.values() for name, _ in names)})
