"""Versions of other software that decide bytes of a store, and so must not change in the middle of a job.

    unicode   which characters are letters or marks, and normal forms: the tables of the running Python
    python    only where mail is read: its parser and character sets are Python's
    ftfy      only where mojibake is repaired, and it is installed

A step names its own in `decided_by`. Which `tokenizers` or gigatoken encodes is compared elsewhere: it is part of every
task's name. Guarantee: an unfinished job goes on under the versions that it began with, on every machine, or is refused
by name; what is not installed has decided nothing yet (a text that needed it would have stopped the job), so installing
it is no change. Price: a look-up per package and job.
"""

import platform
import unicodedata
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version

from batchwright.documents.pipeline import Step
from batchwright.foundation.errors import InputError


def deciding_versions(steps: Iterable[Step]) -> dict[str, str]:
    """What decides bytes in this process, where these steps clean."""
    wanted = {"unicode", *(name for step in steps for name in getattr(step, "decided_by", ()))}
    return {name: found for name in sorted(wanted) if (found := _found(name)) is not None}


def require_versions(before: Mapping[str, str], now: Mapping[str, str], *, where: str) -> None:
    """Raises InputError naming what has another version than the job began with."""
    changed = [
        f"{name} {before[name]} → {now[name]}" for name in sorted({*before} & {*now}) if before[name] != now[name]
    ]
    if changed:
        raise InputError(
            "this job was begun under other versions of what decides its bytes: " + ", ".join(changed),
            where=where,
            remedy="go on with the versions it began with, on every machine, or remove the directory and begin again",
        )


def _found(name: str) -> str | None:
    if name == "unicode":
        return unicodedata.unidata_version
    if name == "python":
        return platform.python_version()
    try:
        return version(name)
    except PackageNotFoundError:
        return None
