"""Cleaning by name: a preset is a tuple of steps that stand after the cleaning that every text gets.

    fineweb   repairs, Gopher repetition, Gopher quality, C4 without its rule on line ends, FineWeb, personal data
    gopher    repairs, Gopher repetition, Gopher quality
    c4        repairs, C4
    code      long lines, few letters
    none      nothing more
    repairs   mail and HTML become text, mojibake is repaired, control characters go: text that has none stays as it is,
              so that on it a preset decides as its source does. The presets of web text leave out a page's navigation

The order is FineWeb's (Penedo et al. 2024, section 3). A TOML file of `[[step]]` tables lists other steps, or the same
with other thresholds:

    [[step]]
    name = "gopher_quality"
    min_words = 20
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, cast

from batchwright.documents.characters import RemoveControlCharacters
from batchwright.documents.cleaning import DropBinary, DropEmpty, NormalizeNewlines, NormalizeUnicode
from batchwright.documents.filters.c4 import C4Quality
from batchwright.documents.filters.code import CodeQuality
from batchwright.documents.filters.fineweb import FineWebQuality
from batchwright.documents.filters.gopher_quality import GopherQuality
from batchwright.documents.filters.gopher_repetition import GopherRepetition
from batchwright.documents.filters.languages import LANGUAGES, fields_for
from batchwright.documents.html import HtmlToText
from batchwright.documents.mail import MailToText
from batchwright.documents.mojibake import RepairMojibake
from batchwright.documents.pipeline import Step
from batchwright.documents.privacy import ReplacePersonalData
from batchwright.documents.scorers import LanguageScore, QualityScore
from batchwright.foundation.errors import InputError, nearest
from batchwright.foundation.files import translated

_REPAIRS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("mail", {}),
    ("html", {}),
    ("mojibake", {}),
    ("control_characters", {}),
)
_REPAIRS_OF_WEB = tuple((name, {"furniture": False} if name == "html" else settings) for name, settings in _REPAIRS)
PRESETS: dict[str, tuple[tuple[str, dict[str, Any]], ...]] = {
    "none": (),
    "repairs": _REPAIRS,
    "gopher": (*_REPAIRS_OF_WEB, ("gopher_repetition", {}), ("gopher_quality", {})),
    "c4": (*_REPAIRS_OF_WEB, ("c4_quality", {})),
    "fineweb": (
        *_REPAIRS_OF_WEB,
        ("gopher_repetition", {}),
        ("gopher_quality", {}),
        ("c4_quality", {"terminal_punctuation": False}),
        ("fineweb_quality", {}),
        ("personal_data", {}),
    ),
    "code": (("code_quality", {}), ("personal_data", {})),
}

STEPS: dict[str, type[Any]] = {
    step.name: step
    for step in (
        DropBinary,
        NormalizeNewlines,
        NormalizeUnicode,
        DropEmpty,
        MailToText,
        HtmlToText,
        RepairMojibake,
        RemoveControlCharacters,
        GopherRepetition,
        GopherQuality,
        C4Quality,
        FineWebQuality,
        CodeQuality,
        ReplacePersonalData,
        LanguageScore,
        QualityScore,
    )
}


def preset(name: str, language: str = "en") -> tuple[Step, ...]:
    """The steps of a preset, in a language."""
    if name not in PRESETS:
        guess = nearest(name, PRESETS)
        raise InputError(
            f"there is no preset {name!r}", remedy=f"{guess!r}" if guess else "one of " + ", ".join(PRESETS)
        )
    return tuple(step_named(step, settings, language=language) for step, settings in PRESETS[name])


def steps_from_file(path: Path, language: str = "en") -> tuple[Step, ...]:
    """The steps that a TOML file lists."""
    with translated(path):
        content = path.read_bytes()
    try:
        value = tomllib.loads(content.decode())
        listed = cast(Any, value.get("step"))
        if set(value) != {"step"} or not isinstance(listed, list):
            raise InputError(
                "this file lists no steps", remedy='[[step]] tables, each with a name: name = "c4_quality"'
            )
        return steps_listed(cast(Sequence[Any], listed), language)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"this file is no TOML: {error}", where=str(path)) from error
    except InputError as error:
        raise error.within(str(path)) from None


def steps_listed(listed: Sequence[Any], language: str = "en") -> tuple[Step, ...]:
    """The steps of tables that each give a name and its settings: those of a file, or a recipe's [[prepare.steps]]."""
    return tuple(_step_of(entry, language) for entry in listed)


def _step_of(entry: Any, language: str) -> Step:
    if not isinstance(entry, Mapping) or not isinstance(cast(Mapping[str, Any], entry).get("name"), str):
        raise InputError("a step has no name", remedy="one of " + ", ".join(STEPS))
    settings = dict(cast(Mapping[str, Any], entry))
    return step_named(settings.pop("name"), settings, language=language)


def step_named(name: str, settings: Mapping[str, Any], *, language: str = "en") -> Step:
    """A step by its name, with the settings given, the language's where there are any, else the published ones."""
    if name not in STEPS:
        guess = nearest(name, STEPS)
        raise InputError(f"there is no step {name!r}", remedy=f"{guess!r}" if guess else "one of " + ", ".join(STEPS))
    if language not in LANGUAGES:
        guess = nearest(language, LANGUAGES)
        raise InputError(
            f"there are no rules for the language {language!r}",
            remedy=f"{guess!r}" if guess else "one of " + ", ".join(LANGUAGES),
        )
    kind = STEPS[name]
    known = {field.name for field in fields(kind)}
    for field in fields(kind):
        if field.default is MISSING and field.default_factory is MISSING and field.name not in settings:
            raise InputError(
                f"the step {name!r} needs {field.name!r}", remedy=f"{field.name} = …, as docs/filters.md says"
            )
    for setting in settings:
        if setting not in known:
            guess = nearest(setting, known)
            raise InputError(
                f"the step {name!r} has no setting {setting!r}",
                remedy=f"{guess!r}" if guess else ("one of " + ", ".join(sorted(known)) if known else "it has none"),
            )
    spoken = settings.get("language", language) if "language" in known else language
    of_language = fields_for(name, spoken) if "language" in known and spoken in LANGUAGES else {}
    return kind(**{**of_language, **settings})
