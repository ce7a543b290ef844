"""A step without any target, which a loss mask can bring about: it has no loss and no gradient, so it is refused.

Guarantee: the error names the positions, the documents that fill them and what can be done. Price: none for steps that
have a target.
"""

from collections.abc import Sequence
from itertools import islice

from batchwright.batches.schedule import StepPlace
from batchwright.foundation.errors import InputError
from batchwright.sequences.index import SequenceIndex
from batchwright.sequences.sampler import PlacedRows

_NAMED = 5


class NoTargetsError(InputError):
    """A step of nothing but padding or masked tokens has no gradient."""


def no_target(place: StepPlace, placed: PlacedRows, indexes: Sequence[SequenceIndex]) -> NoTargetsError:
    """The error of a step whose rows hold no target; `indexes` are those that its rows' streams mean."""
    documents = dict.fromkeys(
        (index.stored.split, number, str(index.stored.directory))
        for stream, row in placed.pairs()
        for index in (indexes[stream],)
        for number in index.document_table.documents_at(index.segments_of(row)[0]).tolist()
    )
    named = ", ".join(f"{split} {number:,}" for split, number, _ in islice(documents, _NAMED))
    more = f" and {len(documents) - _NAMED:,} more" if len(documents) > _NAMED else ""
    spans = [f"position {n:,}" if count == 1 else f"positions {n:,} to {n + count - 1:,}" for n, count in place.spans]
    return NoTargetsError(
        f"the step at {' and '.join(spans)} has no target: the loss mask leaves out every token of its documents "
        f"({named}{more})",
        where=", ".join(sorted({directory for _, _, directory in documents})),
        remedy="a larger global batch, a stage that skips these positions, or an import without these documents",
    )
