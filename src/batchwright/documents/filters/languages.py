"""What changes with the language: stop words, and in scripts without blanks between words what a word is.

    spaced       words are cut as in English; stop words are the language's own (our choice: eight of its most frequent
                 function words), every threshold is the published one
    unspaced     each Han, kana, Thai, Lao, Burmese or Khmer character is a word, and thresholds that count words are
                 scaled by 1.5 characters per word (our default, not a published one; see docs/filters.md)

Guarantee: a filter that is told the language never measures blanks where there are none. A language that is not in the
table is refused by name.
"""

from dataclasses import dataclass
from typing import Any

from batchwright.foundation.errors import InputError, nearest


@dataclass(frozen=True, kw_only=True, slots=True)
class Language:
    """How a language is filtered. Without stop words that rule is off."""

    stop_words: tuple[str, ...] = ()
    unspaced: bool = False


def _spaced(words: str) -> Language:
    return Language(stop_words=tuple(words.split()))


def _unspaced(words: str) -> Language:
    return Language(stop_words=tuple(words.split()), unspaced=True)


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
    "ko": _spaced("이 그 수 것 및 등 할 있는"),
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
    "zh": _unspaced("的 一 是 不 了 在 有 和 人 这 這 中 为 為 之 以"),
    "ja": _unspaced("の に は を た が で て と し"),
    "th": _unspaced(""),
    "lo": _unspaced(""),
    "my": _unspaced(""),
    "km": _unspaced(""),
}

# What a filter's fields become where characters are words: 50 words are 75 characters, and so on.
UNSPACED_FIELDS: dict[str, dict[str, Any]] = {
    "gopher_quality": {"min_words": 75, "max_words": 150_000, "min_mean_word_length": 1},
    "gopher_repetition": {
        "max_repeated_5_grams": 0.225,
        "max_repeated_6_grams": 0.21,
        "max_repeated_7_grams": 0.195,
        "max_repeated_8_grams": 0.18,
        "max_repeated_9_grams": 0.165,
        "max_repeated_10_grams": 0.15,
    },
    "c4_quality": {"min_words_per_line": 5},
    "fineweb_quality": {"short_line_characters": 15, "max_newlines_per_word": 0.2},
}


def is_unspaced(language: str) -> bool:
    """Whether the language is written without blanks between words."""
    return LANGUAGES[language].unspaced


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
    fields: dict[str, Any] = {"language": language}
    if known.unspaced:
        fields |= UNSPACED_FIELDS.get(name, {})
    if name == "gopher_quality" and language != "en":
        fields |= {"stop_words": known.stop_words} if known.stop_words else {"min_stop_words": 0}
    return fields
