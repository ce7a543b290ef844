"""Rows of a parquet file become documents: one column holds the text; the offset is the row number in the file.

Guarantee: only the text column is read, in record batches of about `BATCH_BYTES`; values go from Arrow's buffers to
bytes without becoming `str`; a file that is cut short, no parquet at all or lacks the column is refused by name.
Price: 0.5-1 GB/CPU-s; memory of one page plus one batch. A batch has at most 64 rows, fewer where the file states
long ones; an honest file stays below 20 MiB, one built to harm can reach 64 × its longest value before it is refused.
"""

from collections.abc import Iterator
from typing import Any

import pyarrow  # pyright: ignore[reportMissingTypeStubs]
import pyarrow.parquet  # pyright: ignore[reportMissingTypeStubs]

from batchwright.documents import streams
from batchwright.documents.document import Document
from batchwright.documents.inputs import InputFile
from batchwright.documents.partitions import WHOLE, Piece
from batchwright.documents.read_text import DOCUMENT_CAP_BYTES, to_document
from batchwright.documents.refusals import Refusals
from batchwright.foundation.errors import CorruptDataError, InputError, nearest
from batchwright.foundation.files import translate
from batchwright.foundation.units import MiB

BATCH_BYTES = 8 * MiB
MAXIMUM_BATCH_ROWS = 64  # a dictionary-encoded page can say one long value any number of times; more is no faster

# pyarrow ships no types, so what comes from it is Any.
pa: Any = pyarrow
pq: Any = pyarrow.parquet


def row_group_bytes(file: InputFile) -> list[int]:
    """Bytes of each row group, uncompressed, all columns. Raises CorruptDataError, InputError."""
    parquet = _open(file)
    return [parquet.metadata.row_group(group).total_byte_size for group in range(parquet.metadata.num_row_groups)]


def read_parquet(piece: Piece, refusals: Refusals) -> Iterator[Document]:
    """The documents of the row groups in `piece`."""
    try:
        parquet = _open(refusals.file)
        _check_column(parquet, refusals.file)
    except CorruptDataError as error:
        refusals.refuse("corrupt", 0, error)
        return
    unpacked_bytes, limit = 0, max(streams.RATIO_FREE_BYTES, streams.RATIO_CAP * refusals.file.size)
    count = parquet.metadata.num_row_groups
    row = sum(parquet.metadata.row_group(group).num_rows for group in range(piece.start))
    for group in range(piece.start, count if piece.stop == WHOLE else min(piece.stop, count)):
        try:
            for values in _batches(parquet, group, refusals.file.text_column):
                unpacked_bytes += sum(map(len, filter(None, values)))
                if unpacked_bytes > limit:
                    detail = f"it unpacks to more than {streams.RATIO_CAP} times its size, as a decompression bomb does"
                    refusals.refuse("corrupt", 0, _damaged(refusals.file, detail))
                    return
                for value in values:
                    document = _document(value, piece.file, row, refusals)
                    row += 1
                    if document is not None:
                        yield document
        except (pa.ArrowException, OSError, ValueError) as error:
            refusals.refuse("corrupt", 0, _damaged(refusals.file, f"row {row:,} of row group {group}: {error}"))
            row = sum(parquet.metadata.row_group(before).num_rows for before in range(group + 1))


def _document(value: bytes | None, number: int, row: int, refusals: Refusals) -> Document | None:
    raw = value or b""
    if len(raw) > DOCUMENT_CAP_BYTES:
        refusals.too_long("this value", DOCUMENT_CAP_BYTES, len(raw), row)
        return None
    return to_document(raw, number, row, refusals)


def _batches(parquet: Any, group: int, name: str) -> Iterator[list[bytes | None]]:
    # The whole row, though only one column is read: asking for a column's metadata aborts the *process* on some
    # damaged footers (Arrow throws through a function that may not throw), and a smaller batch does no harm.
    metadata = parquet.metadata.row_group(group)
    row_bytes = max(1, metadata.total_byte_size // max(1, metadata.num_rows))
    rows = max(1, min(MAXIMUM_BATCH_ROWS, BATCH_BYTES // row_bytes))
    for batch in parquet.iter_batches(batch_size=rows, row_groups=[group], columns=[name], use_threads=False):
        array: Any = batch.column(0)
        if pa.types.is_dictionary(array.type):
            array = array.dictionary_decode()
        array = array.cast(pa.large_binary())
        # What unpacked to much more than was stated is not held a second time, as bytes.
        step = len(array) if array.nbytes <= 2 * BATCH_BYTES else 1
        for first in range(0, len(array), step):
            yield array.slice(first, step).to_pylist()


def _open(file: InputFile) -> Any:
    try:
        # Buffered and not pre-buffered: otherwise whole column chunks are fetched into memory at once.
        return pq.ParquetFile(file.location, buffer_size=MiB, pre_buffer=False, page_checksum_verification=True)
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise translate(error, file.location) from error
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(file, str(error)) from error


def _damaged(file: InputFile, detail: str) -> CorruptDataError:
    return CorruptDataError(
        f"this parquet file ({file.size:,} bytes) is damaged or cut short: {detail}",
        where=file.location,
        remedy="fetch it again, or read what is not damaged: --errors skip",
    )


def _check_column(parquet: Any, file: InputFile) -> None:
    """Raise InputError when no column of that name holds text, CorruptDataError when the names are broken."""
    try:
        schema = parquet.schema_arrow
        names = [str(name) for name in schema.names]
    except ValueError as error:  # names that are not UTF-8
        raise _damaged(file, str(error)) from error
    if file.text_column not in names:
        guess = nearest(file.text_column, names)
        raise InputError(
            f"this parquet file has no column '{file.text_column}'; it has: {', '.join(names) or 'none'}",
            where=file.location,
            remedy=f"--text-column {guess}" if guess else "choose one of its columns with --text-column",
        )
    kind = schema.field(file.text_column).type
    value_kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    if not any(test(value_kind) for test in _TEXT_TYPES):
        raise InputError(
            f"the column '{file.text_column}' holds {kind}, not text",
            where=file.location,
            remedy="choose a column of strings with --text-column",
        )


_TEXT_TYPES: tuple[Any, ...] = (
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_string_view,
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_binary_view,
)
