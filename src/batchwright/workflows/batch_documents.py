"""Whose tokens a stretch of positions holds: what is named when a step goes wrong.

Guarantee: a function of (plan, positions), so the same documents are named for every run, rank and machine. Price:
microseconds per row, one read of the provenance per document named.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from batchwright.sequences.placement import segments_of_row
from batchwright.sequences.plan import Plan
from batchwright.sequences.sampler import Sampler
from batchwright.tokens.store import TokenStore
from batchwright.training.trouble import BatchDocuments

MOST_DOCUMENTS = 16


class StoreTracer:
    """The `Tracer` of a run: knows its plan and the stores that its rows are of."""

    def __init__(self, plan: Plan, stores: Sequence[TokenStore]) -> None:
        self._sampler = Sampler(plan)
        self._stores = {store.fingerprint: store for store in stores}

    def __call__(self, first_position: int, stop_position: int) -> BatchDocuments:
        """The documents with most targets in the positions [first, stop) that are not skipped."""
        timeline = self._sampler.timeline
        placed = self._sampler.place([(first_position, stop_position - first_position)])
        eaten = placed.part(
            np.array([p not in timeline.skipped for p in placed.positions.tolist()], np.bool_).nonzero()[0]
        )
        targets: Counter[tuple[int, int]] = Counter()
        for stream, row in eaten.pairs():
            for segment in segments_of_row(timeline.streams[stream].index, row):
                targets[stream, segment.document] += segment.length
        ordered = sorted(targets.items(), key=lambda item: (-item[1], item[0]))
        return BatchDocuments(
            documents=tuple(self._named(*place, tokens) for place, tokens in ordered[:MOST_DOCUMENTS]),
            count=len(targets),
        )

    def _named(self, stream: int, document: int, tokens: int) -> dict[str, str | int]:
        found = self._sampler.timeline.streams[stream]
        origin = self._stores[found.index.stored.fingerprint].provenance(found.index.stored.split, document)
        return {
            "source": found.name,
            "path": origin.path,
            "offset": origin.offset,
            "document": document,
            "tokens": tokens,
        }
