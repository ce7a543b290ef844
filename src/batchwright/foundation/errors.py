"""One tree of errors. Each says what is wrong, where, with the numbers, and what to do about it.

Guarantee: everything a user can cause ends in a `BatchwrightError`; `exit_code` is what the command line returns. An
`assert` or any other exception is our own mistake. Facts are raised where they are known; `within` adds context at a
border.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import ClassVar, Self


class BatchwrightError(Exception):
    """`what` is one sentence; `where` a file, byte offset, line or step; `remedy` the nearest thing that works."""

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, *, where: str | None = None, remedy: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.remedy = remedy

    def within(self, context: str) -> Self:
        """The same error, its place seen from further out: `store/00000.tokens` becomes `run demo:
        store/00000.tokens`."""
        self.where = context if self.where is None else f"{context}: {self.where}"
        return self

    def __str__(self) -> str:
        lines = [self.what]
        if self.where is not None:
            lines.append(f"  where: {self.where}")
        if self.remedy is not None:
            lines.append(f"  try: {self.remedy}")
        return "\n".join(lines)

    def __reduce__(self) -> tuple[object, ...]:
        # Errors cross from worker processes to the driver; keyword-only arguments need this to survive the way.
        return _rebuild, (type(self), self.what, self.where, self.remedy)


def _rebuild(kind: type[BatchwrightError], what: str, where: str | None, remedy: str | None) -> BatchwrightError:
    return kind(what, where=where, remedy=remedy)


class InputError(BatchwrightError):
    """What the user gave cannot be used as it is."""


class RecipeError(InputError):
    """A recipe names something that does not exist or asks for something impossible."""


class LockedError(BatchwrightError):
    """Another process is writing there."""


class UsageError(BatchwrightError):
    """The command line itself is wrong."""

    exit_code = 2


class CorruptDataError(BatchwrightError):
    """Bytes on disk are not what was written."""

    exit_code = 3


class ResourceError(BatchwrightError):
    """Out of disk, memory or processes."""

    exit_code = 4


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate a typo most probably meant, or None."""
    found = get_close_matches(name, list(candidates), n=1, cutoff=0.6)
    return found[0] if found else None
