"""Documents that a step dropped, kept to be looked at: `rejected/REASON.jsonl` beside the store.

    {"reason": "gopher_short_doc", "detail": "12 < 50", "source": "web", "file": "a.jsonl", "offset": 4711, "text": "…"}

Every task writes those of its partition; when the store is published they are sorted by reason, in the order (file,
offset). Guarantee: the same bytes for any workers, partitions and crashes; the store is the same with and without them.
`text` is the text that the step saw. Near-duplicates, known only when everything was read, come from `rejected_copies`.
Not here: records that never became text, and exact duplicates (the tally counts both). Price: the disk that the texts
take, twice until they are sorted.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from batchwright.documents.document import Document
from batchwright.documents.inputs import InputFile
from batchwright.documents.pipeline import Dropped
from batchwright.foundation.errors import InputError, nearest
from batchwright.foundation.files import AtomicFile, translated

REJECTED = "rejected"


class RejectedWriter:
    """The rejected documents of one partition, a line each."""

    def __init__(self, file: AtomicFile, inputs: Mapping[int, InputFile], sources: Sequence[str]) -> None:
        self._file, self._inputs, self._sources = file, inputs, sources

    def __call__(self, document: Document, dropped: Dropped) -> None:
        line = {
            "reason": dropped.reason,
            "detail": dropped.detail,
            "source": self._sources[document.source],
            "file": self._inputs[document.file].path,
            "offset": document.offset,
            "text": document.utf8.decode(),
        }
        self._file.write(orjson.dumps(line) + b"\n")


def sort_by_reason(parts: Iterable[Path], out: Path) -> None:
    """Write out/REASON.jsonl for every reason in the partitions' files, which come in order."""
    with ExitStack() as stack:
        files: dict[str, AtomicFile] = {}
        for part in parts:
            with translated(part), part.open("rb") as lines:
                for line in lines:
                    name = file_name(orjson.loads(line)["reason"])
                    if name not in files:
                        files[name] = stack.enter_context(AtomicFile(out / name))
                    files[name].write(line)


def file_name(reason: str) -> str:
    """The file of a reason; a step that somebody added may have given it any name."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", reason) + ".jsonl"


def read_rejected(store: Path, reason: str, count: int) -> Iterator[dict[str, Any]]:
    """The first `count` documents rejected for a reason. Raises InputError when none were kept."""
    place = store / REJECTED
    known = sorted(path.stem for path in place.glob("*.jsonl"))
    path = place / file_name(reason)
    if path.stem not in known:
        guess = nearest(reason, known)
        raise InputError(
            f"no document rejected as {reason!r} was kept" if known else "no rejected document was kept",
            where=str(place),
            remedy=(repr(guess) if guess else "one of " + ", ".join(known))
            if known
            else "prepare with --keep-rejected",
        )
    with translated(path), path.open("rb") as lines:
        for line in islice(lines, count):
            yield orjson.loads(line)
