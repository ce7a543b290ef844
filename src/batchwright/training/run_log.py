"""`metrics.jsonl`: one JSON object per line for every step, evaluation and spike, in order.

Guarantee: a checkpoint remembers how long the log was when it was made, and its xxh3-128; taking a run up again cuts
the log to that length and refuses one that was changed, so no step stands in it twice and none is missing or another,
after any number of kills. Price: one write call per record (~5 µs), one fsync per checkpoint, and one reading of the
log when a run is taken up.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import orjson
import xxhash

from batchwright.foundation.errors import CorruptDataError
from batchwright.foundation.files import translated
from batchwright.foundation.units import MiB

EMPTY_XXH3 = xxhash.xxh3_128_hexdigest(b"")

MEASURED_FIELDS = frozenset({"seconds", "tokens_per_second", "mfu", "peak_memory_bytes"})
"""Fields of a step that a clock or a gauge wrote: no part of what is the same for every run of a recipe."""


class RunLog:
    """The log of a run that is being written, by one process."""

    def __init__(self, path: Path, *, committed_bytes: int, committed_xxh3: str = EMPTY_XXH3) -> None:
        """Go on after the `committed_bytes` named by `committed_xxh3` and forget what stands behind them.

        Raises CorruptDataError when they are not there any more as they were.
        """
        self.path = path
        self._digest = xxhash.xxh3_128()
        with translated(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a+b", buffering=0)
            size = os.fstat(self._file.fileno()).st_size
            if size < committed_bytes:
                self._file.close()
                raise CorruptDataError(
                    f"the log has {size:,} bytes, and had {committed_bytes:,} when the checkpoint was made",
                    where=str(path),
                    remedy="put the log back, or begin a new run directory",
                )
            self._file.seek(0)
            for first in range(0, committed_bytes, MiB):
                self._digest.update(self._file.read(min(MiB, committed_bytes - first)))
            if self._digest.hexdigest() != committed_xxh3:
                self._file.close()
                raise CorruptDataError(
                    f"the log's first {committed_bytes:,} bytes are not those of when the checkpoint was made",
                    where=str(path),
                    remedy="put the log back, or begin a new run directory",
                )
            self._file.truncate(committed_bytes)

    def append(self, record: dict[str, Any]) -> None:
        """Write one record as one line, visible to readers at once."""
        line = orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)
        with translated(self.path):
            self._file.write(line)
        self._digest.update(line)

    def position(self) -> tuple[int, str]:
        """How many bytes were written so far, and their xxh3-128."""
        with translated(self.path):
            return os.fstat(self._file.fileno()).st_size, self._digest.hexdigest()

    def sync(self) -> None:
        """Make everything written so far survive a power cut. May be called from another thread."""
        with translated(self.path):
            os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


def without_measured(records: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The part of a log that is bit for bit the same for every run of a recipe, however often it was interrupted."""
    return [{name: value for name, value in each.items() if name not in MEASURED_FIELDS} for each in records]


def read_log(path: Path) -> list[dict[str, Any]]:
    """All whole records of a log, also while it is being written: a line that is not finished yet is left out.

    Raises CorruptDataError with the line's number when a finished line is not a JSON object.
    """
    with translated(path):
        *lines, _unfinished = path.read_bytes().split(b"\n")
    records: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        try:
            record = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise CorruptDataError(f"this line is not JSON ({error})", where=f"{path}, line {number}") from error
        if not isinstance(record, dict):
            raise CorruptDataError("this line is not a JSON object", where=f"{path}, line {number}")
        records.append(record)
    return records
