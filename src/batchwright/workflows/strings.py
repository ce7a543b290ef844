"""Everything that is said to people about a run, in English and in Chinese: one table.

Guarantee: both languages have every phrase with the same placeholders (a test holds it). A phrase never contains a
result: numbers arrive as values, and which phrase is said is decided from the data by `findings`.
"""

import locale
import os
from typing import Any, Literal

Language = Literal["en", "zh"]


def choose_language(wish: str) -> Language:
    """`wish`, or with "auto" the locale's language."""
    if wish == "auto":
        named = os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG") or ""
        wish = named or (locale.getlocale()[0] or "en")
    return "zh" if wish.lower().startswith(("zh", "chinese")) else "en"


def phrase(key: str, language: Language, **values: Any) -> str:
    english, chinese = PHRASES[key]
    return (chinese if language == "zh" else english).format(**values)


PHRASES: dict[str, tuple[str, str]] = {
    "doctor.ok": ("Everything that is needed is here.", "所需的一切都已就绪。"),
    "doctor.missing": ("Something that is needed is missing (✗ above).", "缺少必需的组件（见上方标 ✗ 的行）。"),
}
