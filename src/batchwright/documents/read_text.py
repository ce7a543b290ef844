"""A text or source file becomes one document, whole.

Guarantee: at most `DOCUMENT_CAP_BYTES` are held; a file with a NUL byte is binary, dropped and counted, whatever its
name and size; a UTF-8 byte order mark is removed and counted. Price: one read, a search for NUL, a validation.
"""

from collections.abc import Iterator

from batchwright.documents.document import Document, DocumentFlag
from batchwright.documents.refusals import Refusals
from batchwright.documents.streams import DamagedStream, chunks
from batchwright.foundation.units import MiB

DOCUMENT_CAP_BYTES = 64 * MiB
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def read_text(number: int, refusals: Refusals) -> Iterator[Document]:
    """The document that input file `number` is, if it is one."""
    file, tally = refusals.file, refusals.tally
    parts: list[bytes] = []
    size_bytes = 0
    try:
        for chunk in chunks(file.location, file.compression):
            if b"\0" in chunk:
                refusals.count("binary", file.size)
                return
            size_bytes += len(chunk)
            if size_bytes > DOCUMENT_CAP_BYTES:
                refusals.too_long("this file, one document,", DOCUMENT_CAP_BYTES, file.size, 0)
                return
            parts.append(chunk)
    except DamagedStream as error:
        refusals.corrupt(size_bytes, str(error))
        return
    raw = b"".join(parts)
    document = to_document(raw, number, 0, refusals)
    if document is None:
        return
    if document.utf8.startswith(BYTE_ORDER_MARK):
        document = document.with_utf8(document.utf8[len(BYTE_ORDER_MARK) :])
        tally.edit("byte_order_mark", len(BYTE_ORDER_MARK))
    yield document


def to_document(raw: bytes, number: int, offset: int, refusals: Refusals) -> Document | None:
    """Bytes that should be UTF-8 as a document, counted as read; None when they were refused (counted too)."""
    source, tally = refusals.file.source, refusals.tally
    if raw.isascii():
        tally.read.add(1, len(raw))
        return Document(raw, number, offset, source)
    text = refusals.decode(raw, offset)
    if text is None:
        return None
    tally.read.add(1, len(raw))
    utf8 = raw if "\ufffd" not in text else text.encode()
    if utf8 == raw:
        return Document(raw, number, offset, source, 0, text)
    tally.edit("invalid_utf8_replaced", len(raw) - len(utf8))
    return Document(utf8, number, offset, source, DocumentFlag.REPAIRED, text)
