"""A pipeline is a list of steps that can be read aloud; running it keeps the ledger.

    steps = [DropBinary(), NormalizeNewlines(), NormalizeUnicode(), DropEmpty()]
    for document in clean(read_partition(…, tally=tally), steps, tally): …

A step is a callable with a name: Document → Document | Dropped(reason). It keeps no count: the runner sees that a
document came back changed (another object) or dropped, and writes that down. Filters, deduplication within a source,
repairs and augmentations are more steps of the same list; what needs to see all documents at once is not a step.
Price: ~0.1 µs per document and step beside the step's own work.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Protocol

from batchwright.documents.document import Document
from batchwright.documents.tally import Tally

LOCATION = MappingProxyType({"location": True})
"""Metadata of a step's field that says where something lies: a worker is told, and the job does not depend on it."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """Why a document goes no further: a reason code for the tally, and for whoever asks, the number that decided."""

    reason: str
    detail: str = ""


class Step(Protocol):
    """One thing that is done to every document; the name says what, in the tally. Where the version of another package
    decides what comes out, the step names it in `decided_by`.
    """

    name: ClassVar[str]

    def __call__(self, document: Document, /) -> Document | Dropped:
        """The same document, a changed one, or why it is dropped."""
        ...


Rejected = Callable[[Document, Dropped], None]
"""Told of every document that a step drops, as it was when it was dropped."""


def clean(
    documents: Iterable[Document], steps: Sequence[Step], tally: Tally, rejected: Rejected | None = None
) -> Iterator[Document]:
    """Take each document through all steps; yield those that remain and count them as kept.

    The documents must already be counted as read in the same tally (`read_partition` does).
    """
    for document in documents:
        cleaned = _through(document, steps, tally, rejected)
        if cleaned is not None:
            tally.kept.documents += 1
            tally.kept.bytes += len(cleaned.utf8)
            yield cleaned


def _through(document: Document, steps: Sequence[Step], tally: Tally, rejected: Rejected | None) -> Document | None:
    for step in steps:
        after = step(document)
        if after is document:
            continue
        if isinstance(after, Dropped):
            tally.drop(after.reason, len(document.utf8))
            if rejected is not None:
                rejected(document, after)
            return None
        tally.edit(step.name, len(document.utf8) - len(after.utf8))
        document = after
    return document
