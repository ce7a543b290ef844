"""A step that must not be made, told with everything needed to go on without it: positions, documents, the command.

Guarantee: raised before anything was changed, and the newest committed checkpoint is left as it is: no checkpoint of
the moment before is written, because weights one step from infinity are often spoilt already, and it would push out
an older one that is not. The same command run again comes to the same step and stops again. Price: nothing until a
step fails, then a few milliseconds to look up its documents.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from batchwright.foundation.errors import BatchwrightError

DOCUMENTS_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class BatchDocuments:
    """Whose tokens a batch holds. `documents`: {source, path, offset, document, tokens}, those that fill most of it
    first, the first few of `count`."""

    documents: tuple[dict[str, Any], ...] = ()
    count: int = 0

    def describe(self) -> str:
        """The first three, and how many more."""
        return name_documents(self.documents[:DOCUMENTS_NAMED], self.count)


class Tracer(Protocol):
    """Finds the documents of the positions [first, stop); lives above, where stores are known."""

    def __call__(self, first_position: int, stop_position: int) -> BatchDocuments: ...


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """What the log keeps of a step that was not made (`kind: "diverged"` or `"no targets"`)."""

    kind: str
    step: int
    first_position: int
    stop_position: int
    message: str
    command: str
    documents: tuple[dict[str, Any], ...] = field(default=())
    document_count: int = 0


def name_documents(documents: Sequence[dict[str, Any]], count: int) -> str:
    """As `text: a/b.txt @ 1,024 (80 tokens), …`."""
    named = [f"{each['source']}: {place_of(each)} ({each['tokens']:,} tokens)" for each in documents]
    rest = count - len(named)
    return ", ".join(named) + (f" and {rest:,} more" if rest > 0 else "")


def place_of(document: dict[str, Any]) -> str:
    """File and byte offset of a document."""
    return f"{document['path']} @ {document['offset']:,}"


def skip_command(
    run: Path, *, from_step: int | None, first_position: int, stop_position: int, out: Path | None = None
) -> str:
    """What trains the run again without these positions: from a checkpoint on, or (None) from its beginning, in the
    same directory or in `out`."""
    words = ["batchwright", "train", str(run / "recipe.toml"), "--out", str(run if out is None else out)]
    words += ["--from-step", str(from_step)] if from_step is not None else []
    return shlex.join([*words, "--skip", f"{first_position}:{stop_position}"])


def explained(
    error: BatchwrightError, *, step: int, newest: int | None, documents: BatchDocuments, command: str
) -> BatchwrightError:
    """The error, with whose documents these are and how to go on without them; `newest`: the checkpoint's step."""
    named = f"; {documents.count:,} documents: {documents.describe()}" if documents.count else ""
    kept = f"the checkpoint of step {newest} is untouched" if newest is not None else "there is no checkpoint yet"
    remedy = f"leave these positions out ({kept}): {command}"
    if error.remedy is not None:
        remedy = f"{error.remedy}; or {remedy}"
    where = error.where or ""
    if not where.startswith(f"step {step}"):
        where = f"step {step}, {where}" if where else f"step {step}"
    return type(error)(error.what, where=f"{where}{named}", remedy=remedy)
