"""Whose directory is it? What stands between a store that is being written and one that is already there.

Guarantee: nothing that a writer of stores finds at its place is overwritten: a finished or unfinished store of another
job is refused and the differences are named, a directory with other things in it as well.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from batchwright.foundation.errors import InputError
from batchwright.foundation.files import translated
from batchwright.tokens.changes import differences, input_differences

WORK = ".work"
JOB = "job.json"


def refuse_changes(
    out: Path, before: Mapping[str, Any], now: Mapping[str, Any], inputs_before: bytes, inputs: bytes
) -> None:
    """Raises InputError naming what differs between the job that wrote here and this one."""
    changes = [*differences(before, now), *input_differences(inputs_before, inputs)]
    if changes:
        raise InputError(
            "there is already another store, or the beginning of one, and it is not overwritten; changed: "
            + "; ".join(changes),
            where=str(out),
            remedy="write into another directory, or remove this one",
        )


def refuse_foreign_directory(out: Path, ours: set[str]) -> None:
    """Raises InputError when a directory without unfinished work holds anything but `ours`."""
    if not out.is_dir() or (out / WORK).exists():
        return
    with translated(out):
        foreign = sorted(
            path.name for path in out.iterdir() if path.name not in ours and not path.name.endswith(".partial")
        )
    if foreign:
        raise InputError(
            f"the directory holds other things ({foreign[0]}), not a token store",
            where=str(out),
            remedy="choose a directory that is empty or does not exist",
        )
