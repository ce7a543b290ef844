"""Near copies that were dropped, kept to be looked at: `rejected/near_duplicate.jsonl` and `near_other_store.jsonl`.

    {"reason": "near_duplicate", "detail": "near a.jsonl@4711", "source", "file", "offset", "text"}

The detail names the document that stayed for it: the first of its cluster, which is like it or like something that is.
Guarantee: as for all of `rejected/`, the same bytes for any workers, partitions and crashes. `text` is decoded from the
ids. Price: 12 bytes per document of the job in memory, one read of the dropped documents' ids.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
from numpy.typing import NDArray

from batchwright.foundation.array_file import ArrayFile
from batchwright.foundation.files import AtomicFile
from batchwright.tokens.rejected import file_name
from batchwright.tokens.selection import NEAR_DUPLICATE, NEAR_OTHER_STORE, REASON_OF_FATE, Partial, fates_by_partial

if TYPE_CHECKING:
    from batchwright.tokens.against import OtherStore

_PLACE = np.dtype([("file", "<u4"), ("offset", "<u8")])


class Copies:
    """The near copies of one job. `paths` and `sources` name input files and sources; `decode` makes text of ids."""

    def __init__(
        self,
        work: Path,
        partials: Sequence[Partial],
        others: "Sequence[OtherStore]",
        paths: Sequence[str],
        sources: Sequence[str],
        decode: Callable[[NDArray[Any]], str],
    ) -> None:
        self._work, self._partials, self._others = work, partials, others
        self._paths, self._sources, self._decode = paths, sources, decode
        self._base = sum(other.documents for other in others)
        records = [partial.open(work, "provenance").array for partial in partials]
        self._places = np.concatenate([np.empty(0, _PLACE), *map(_places, records)])

    def write(self, fates: ArrayFile, roots: ArrayFile, out: Path) -> None:
        """Write out/REASON.jsonl of both reasons, in global order."""
        with ExitStack() as stack:
            files: dict[int, AtomicFile] = {}
            for fate, line in self._lines(fates, roots):
                if fate not in files:
                    files[fate] = stack.enter_context(AtomicFile(out / file_name(REASON_OF_FATE[fate])))
                files[fate].write(orjson.dumps(line) + b"\n")

    def _lines(self, fates: ArrayFile, roots: ArrayFile) -> Iterator[tuple[int, dict[str, Any]]]:
        first = self._base
        for partial, of_partial in fates_by_partial(fates, self._partials):
            gone = np.flatnonzero((of_partial == NEAR_DUPLICATE) | (of_partial == NEAR_OTHER_STORE))
            ends, tokens = (partial.open(self._work, kind).array for kind in ("documents", "tokens"))
            records = partial.open(self._work, "provenance").array
            for document in gone.tolist():
                begin = int(ends[document - 1]) if document else 0
                record, fate = records[document], int(of_partial[document])
                yield (
                    fate,
                    {
                        "reason": REASON_OF_FATE[fate],
                        "detail": f"near {self._name(int(roots.array[first + document]))}",
                        "source": self._sources[int(record["source"])],
                        "file": self._paths[int(record["file"])],
                        "offset": int(record["offset"]),
                        "text": self._decode(tokens[begin : int(ends[document]) - 1]),
                    },
                )
            first += partial.documents

    def _name(self, document: int) -> str:
        """PATH@OFFSET of a document, as `show --document` takes it."""
        if document >= self._base:
            place = self._places[document - self._base]
            return f"{self._paths[int(place['file'])]}@{int(place['offset'])}"
        for other in self._others:
            if document < other.documents:
                return other.name_of(document)
            document -= other.documents
        raise AssertionError("a root is a document")


def _places(records: NDArray[Any]) -> NDArray[np.void]:
    places = np.empty(len(records), _PLACE)
    places["file"], places["offset"] = records["file"], records["offset"]
    return places
