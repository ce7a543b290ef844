"""`metrics.jsonl`: one JSON object per line for every step and every evaluation, in order.

Guarantee: a checkpoint remembers how long the log was when it was made; taking a run up again cuts the log to that
length, so no step stands in it twice and none is missing, after any number of kills. Price: one write call per record
(~5 µs), one fsync per checkpoint.
"""

import os
from pathlib import Path
from typing import Any

import orjson

from batchwright.foundation.errors import CorruptDataError
from batchwright.foundation.files import translated


class RunLog:
    """The log of a run that is being written, by one process."""

    def __init__(self, path: Path, *, committed_bytes: int) -> None:
        """Go on after `committed_bytes` and forget what stands behind them."""
        self.path = path
        with translated(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab", buffering=0)
            size = os.fstat(self._file.fileno()).st_size
            if size < committed_bytes:
                self._file.close()
                raise CorruptDataError(
                    f"the log has {size:,} bytes, and had {committed_bytes:,} when the checkpoint was made",
                    where=str(path),
                    remedy="put the log back, or begin a new run directory",
                )
            self._file.truncate(committed_bytes)

    def append(self, record: dict[str, Any]) -> None:
        """Write one record as one line, visible to readers at once."""
        with translated(self.path):
            self._file.write(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))

    def commit(self) -> int:
        """Make everything written so far survive a power cut; returns how many bytes that is."""
        with translated(self.path):
            os.fsync(self._file.fileno())
            return os.fstat(self._file.fileno()).st_size

    def close(self) -> None:
        self._file.close()


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
