"""A partition becomes its documents, in the order (file, offset): the one door to all readers.

Guarantee: a generator that holds one record at a time; every record it meets is counted in the tally as read and is
either yielded or dropped with a reason. A file that cannot be opened is treated by the error policy like a record.
"""

from collections.abc import Iterator, Mapping, Sequence

from batchwright.documents.document import Document
from batchwright.documents.inputs import InputFile
from batchwright.documents.partitions import Partition, Piece
from batchwright.documents.read_jsonl import read_jsonl
from batchwright.documents.read_text import read_text
from batchwright.documents.refusals import ErrorPolicy, Refusals
from batchwright.documents.tally import Tally
from batchwright.foundation.errors import InputError


def read_partition(
    partition: Partition,
    *,
    inputs: Sequence[InputFile] | Mapping[int, InputFile],
    errors: ErrorPolicy = "strict",
    tally: Tally,
) -> Iterator[Document]:
    """The documents of a partition.

    inputs: the input files by number; a mapping of those in `partition.files` is enough.
    Raises InputError or CorruptDataError at the first record that the policy does not allow.
    """
    for piece in partition.pieces:
        refusals = Refusals(inputs[piece.file], errors, tally)
        try:
            yield from _read(piece, refusals)
        except InputError as error:
            # Records were refused where they stood. What comes here is the system refusing the file, which is
            # skipped, or a column that the user should name, which never is: it would drop whole files.
            if errors != "skip" or not isinstance(error.__cause__, OSError):
                raise
            refusals.refuse("unreadable", 0, error)


def _read(piece: Piece, refusals: Refusals) -> Iterator[Document]:
    if refusals.file.format == "jsonl":
        return read_jsonl(piece, refusals)
    if refusals.file.format == "parquet":
        from batchwright.documents.read_parquet import read_parquet  # pyarrow: 0.1 s, only where it is needed

        return read_parquet(piece, refusals)
    return read_text(piece.file, refusals)
