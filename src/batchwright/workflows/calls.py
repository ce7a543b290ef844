"""`calls.jsonl` in a run directory: every call of `train` that worked on the run, and how it ended.

A run is made by one call or by many; its weights do not say by which, so this file does: the command, versions, threads
and the peak that MFU was measured against, when a call begins, and another line when it ends. A call that was killed
has no second line. It is for people and for the report; nothing that a run computes depends on it. Price: two short
writes a call.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from batchwright.foundation.files import translated

CALLS_NAME = "calls.jsonl"

Json = dict[str, Any]


def note_call(run: Path, event: str, call: str, **facts: Any) -> None:
    """Append one line: `event` is "begun" or "ended", `call` a name of the call."""
    path = run / CALLS_NAME
    line = orjson.dumps({"event": event, "call": call, "time": time.time(), **facts}, option=orjson.OPT_APPEND_NEWLINE)
    with translated(path), path.open("ab") as file:
        if file.tell() and not _ends_whole(path):
            file.write(b"\n")  # a power cut left half a line: it stays unread, and this one begins its own
        file.write(line)


def read_calls(run: Path) -> list[Json]:
    """One object per call, oldest first: what was noted when it began, and under `ended` what when it ended, or
    None."""
    calls: dict[str, Json] = {}
    for line in _lines(run / CALLS_NAME):
        if line["event"] == "begun":
            calls[line["call"]] = {**line, "ended": None}
        elif line["call"] in calls:
            calls[line["call"]]["ended"] = line
    return list(calls.values())


def _lines(path: Path) -> Iterator[Json]:
    if not path.exists():
        return
    with translated(path):
        content = path.read_bytes()
    for line in content.split(b"\n"):
        try:
            value = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
        if isinstance(value, dict) and "event" in value:
            yield value


def _ends_whole(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read(1) == b"\n"
