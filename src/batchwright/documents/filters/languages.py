"""What changes with the language: stop words, and in scripts without blanks between words what a word is.

    spaced       words are cut as in English; stop words are the language's own (our choice: eight of its most frequent
                 function words), every threshold is the published one but for Korean's mean word length
    unspaced     each Han, kana, Thai, Lao, Burmese or Khmer character is a word, and thresholds that count words are
                 scaled by the characters that stand for one English word: Chinese 1.5, Japanese 2, Thai, Lao and Khmer
                 5, Burmese 7 (our defaults, measured on translations of one text; see docs/filters.md)

Guarantee: a filter that is told the language never measures blanks where there are none. A language that is not in the
table is refused by name.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import Any

from batchwright.foundation.errors import InputError, nearest


@dataclass(frozen=True, kw_only=True, slots=True)
class Language:
    """How a language is filtered. Without stop words that rule is off.

    characters_per_word: where words are not spaced, how many characters say what an English word says.
    fields: what else is not as published, by filter.
    """

    stop_words: tuple[str, ...] = ()
    characters_per_word: float | None = None
    fields: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, dict[str, Any]])

    def fields_of(self, name: str) -> dict[str, Any]:
        """What the fields of the filter `name` are where they are not as published."""
        scaled = {} if self.characters_per_word is None else _scaled(self.characters_per_word)
        return {**scaled.get(name, {}), **self.fields.get(name, {})}


def _scaled(characters: float) -> dict[str, dict[str, Any]]:
    """Thresholds in words as thresholds in characters."""
    return {
        "gopher_quality": {
            "min_words": round(50 * characters),
            "max_words": round(100_000 * characters),
            "min_mean_word_length": 1,
        },
        "c4_quality": {"min_words_per_line": ceil(3 * characters)},
        "fineweb_quality": {
            "short_line_characters": 15 if characters <= 2 else 30,
            "max_newlines_per_word": round(0.3 / characters, 3),
        },
    }


def _grams(top: float | None, *repeated: float) -> dict[str, float]:
    """Gopher's thresholds for the most frequent 2- to 4-gram, and for repeated 5- to 10-grams, of characters."""
    limits = {f"max_repeated_{n}_grams": limit for n, limit in zip(range(5, 11), repeated, strict=True)}
    return limits if top is None else {**limits, **{f"max_top_{n}_gram": top for n in (2, 3, 4)}}


def _letters_that_spell(share: float, limit: float, *, marks_sentences: bool) -> dict[str, dict[str, Any]]:
    """Of scripts with marks above and below, each of them a character and no letter: `share` of the characters are
    letters in a whole text; 10 characters are two words, so only their repetition says anything."""
    unmarked = {} if marks_sentences else {"c4_quality": {"min_sentences": 1}}
    ends = {} if marks_sentences else {"fineweb_quality": {"min_lines_ending_in_punctuation": 0}}
    return {
        "gopher_quality": {"min_words_with_letters": share},
        "gopher_repetition": _grams(0.20, 1, 1, 1, 1, 1, limit),
        **unmarked,
        **ends,
    }


def _spaced(words: str) -> Language:
    return Language(stop_words=tuple(words.split()))


def _unspaced(words: str, characters_per_word: float, fields: Mapping[str, Mapping[str, Any]]) -> Language:
    return Language(stop_words=tuple(words.split()), characters_per_word=characters_per_word, fields=fields)


LANGUAGES = {
    "en": _spaced("the be to of and that have with"),
    "cs": _spaced("a se v na je že to s"),
    "da": _spaced("og i at det er en til af"),
    "de": _spaced("der die und in zu den das nicht"),
    "el": _spaced("και το να του η της με που"),
    "es": _spaced("de la que el en y los por"),
    "fi": _spaced("ja on ei että se hän oli kun"),
    "fr": _spaced("de la le et les des en que"),
    "hu": _spaced("a az és hogy nem is egy meg"),
    "it": _spaced("di che è la il un per in"),
    "ko": Language(
        stop_words=("이", "그", "수", "것", "및", "등", "할", "있는"),
        fields={"gopher_quality": {"min_mean_word_length": 2}},  # syllables: 2.9 of them are a word of 5 letters
    ),
    "nl": _spaced("de het een van en in dat niet"),
    "no": _spaced("og i det er en til som på"),
    "pl": _spaced("w i na z się nie do to"),
    "pt": _spaced("de a o que e do da em"),
    "ro": _spaced("de și în la a cu pe care"),
    "ru": _spaced("и в не на что с он как"),
    "sv": _spaced("och i att det en som är på"),
    "tr": _spaced("ve bir bu da de için ile çok"),
    "uk": _spaced("і в не на що з у до"),
    "vi": _spaced("là và của có không cho được trong"),
    "zh": _unspaced(
        "的 一 是 不 了 在 有 和 人 这 這 中 为 為 之 以",
        1.5,
        {"gopher_repetition": _grams(None, 0.225, 0.21, 0.195, 0.18, 0.165, 0.15)},
    ),
    "ja": _unspaced(
        "の に は を た が で て と し", 2, {"gopher_repetition": _grams(0.20, 0.45, 0.39, 0.33, 0.27, 0.21, 0.15)}
    ),
    "th": _unspaced("", 5, _letters_that_spell(0.70, 0.45, marks_sentences=False)),
    "lo": _unspaced("", 5, _letters_that_spell(0.65, 0.45, marks_sentences=False)),
    "my": _unspaced("", 7, _letters_that_spell(0.38, 0.60, marks_sentences=True)),
    "km": _unspaced("", 5, _letters_that_spell(0.53, 0.45, marks_sentences=True)),
}


def is_unspaced(language: str) -> bool:
    """Whether the language is written without blanks between words."""
    return LANGUAGES[language].characters_per_word is not None


def require_language(step: Any) -> None:
    """Raises InputError when a filter's language is unknown."""
    if step.language not in LANGUAGES:
        guess = nearest(step.language, LANGUAGES)
        raise InputError(
            f"{step.name}: there are no rules for the language {step.language!r}",
            remedy=f"{guess!r}" if guess else "one of " + ", ".join(LANGUAGES),
        )


def fields_for(name: str, language: str) -> dict[str, Any]:
    """What the fields of the filter `name` are in a language, beside its published defaults."""
    known = LANGUAGES[language]
    fields: dict[str, Any] = {"language": language, **known.fields_of(name)}
    if name == "gopher_quality" and language != "en":
        fields |= {"stop_words": known.stop_words} if known.stop_words else {"min_stop_words": 0}
    return fields
