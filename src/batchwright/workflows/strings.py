"""The table of everything that is said to people (`strings.toml`), in one language. Price: 4 ms, once.

Guarantee: English and Chinese have every phrase with the same placeholders (a test holds it).
"""

import locale
import os
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal, cast

Language = Literal["en", "zh"]


@dataclass(frozen=True)
class Say:
    """Says a phrase by its key, with its values put in."""

    language: Language

    def __call__(self, key: str, **values: Any) -> str:
        return phrases()[key][self.language].format(**values)

    def knows(self, key: str) -> bool:
        return key in phrases()


def choose_language(wish: str) -> Language:
    """`wish`, or with "auto" the locale's language."""
    if wish == "auto":
        named = os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG") or ""
        wish = named or (locale.getlocale()[0] or "en")
    return "zh" if wish.lower().startswith(("zh", "chinese")) else "en"


@cache
def phrases() -> dict[str, dict[Language, str]]:
    """Every phrase by key and language."""
    text = (files("batchwright.workflows") / "strings.toml").read_text(encoding="utf-8")
    return cast(dict[str, dict[Language, str]], tomllib.loads(text))
