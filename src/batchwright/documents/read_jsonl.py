"""Lines of JSON become documents: one object per line, the text under one key.

Guarantee: a line comes out exactly as JSON says or is refused with its byte offset: no object, no such key, the key
twice, no string, not UTF-8, longer than the cap, nested deeper than 1,000. `NaN` and lone surrogates, which other
tools write, are read (the strict parser refuses them, so such a line costs a second, slower pass). Blank lines are no
records. A null text is an empty document. A line of more values than text can need is refused (`json_values`).
Price: orjson, ~0.8 GB/CPU-s on prose lines of 3 kB, plus ~1 µs per line.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, cast

import orjson

from batchwright.documents.document import Document, DocumentFlag
from batchwright.documents.json_values import COUNTED_FROM_BYTES, MAXIMUM_VALUES, holds_too_many_values
from batchwright.documents.lines import LINE_CAP_BYTES, lines
from batchwright.documents.partitions import WHOLE, Piece
from batchwright.documents.read_text import BYTE_ORDER_MARK
from batchwright.documents.refusals import Refusals
from batchwright.documents.streams import DamagedStream, chunks
from batchwright.foundation.errors import InputError, nearest

NAMED, NAMED_CHARACTERS = 20, 80  # keys of a record that lacks the one that is sought
_MISSING = object()


def read_jsonl(piece: Piece, refusals: Refusals) -> Iterator[Document]:
    """The documents of the lines that begin in `piece`."""
    file, tally = refusals.file, refusals.tally
    number, source, column = piece.file, file.source, file.text_column
    read = tally.read
    key = json.dumps(column, ensure_ascii=False).encode()
    disguise = _disguise_of(column)
    offset = piece.start
    numbered = lines(
        chunks(file.location, file.compression, max(piece.start - 1, 0)),
        start=piece.start,
        stop=None if piece.stop == WHOLE else piece.stop,
        too_long=lambda offset, length: refusals.too_long("this line", LINE_CAP_BYTES, length, offset),
    )
    try:
        for offset, line in numbered:
            if not 0 < len(line) < COUNTED_FROM_BYTES and (not line or _refused_for_its_values(line, offset, refusals)):
                continue
            try:
                text = orjson.loads(line)[column]
                # A key that stands twice is no error to the parser: the last one wins, in silence. Not here.
                if line.count(key) == 1 and not (b"\\" in line and disguise.search(line)):
                    utf8 = text.encode()
                    read.documents += 1
                    read.bytes += len(utf8)
                    yield Document(utf8, number, offset, source, 0, None if len(utf8) == len(text) else text)
                    continue
            except (ValueError, LookupError, TypeError, AttributeError):
                pass
            document = _carefully(line, number, offset, refusals)
            if document is not None:
                yield document
    except DamagedStream as error:
        refusals.corrupt(offset, str(error))


def _refused_for_its_values(line: bytes, offset: int, refusals: Refusals) -> bool:
    if not holds_too_many_values(line):
        return False
    what = f"this line holds more than {MAXIMUM_VALUES:,} brackets and commas of JSON"
    remedy = "leave out of the file what is not text, or drop such lines: --errors skip"
    refusals.refuse("too_many_values", len(line), InputError(what, where=refusals.at(offset), remedy=remedy))
    return True


def _disguise_of(column: str) -> re.Pattern[bytes]:
    """What a line must hold to spell `column` in other characters: `te\\u0078t` is the key `text`, too."""
    plain = re.fullmatch(r"[A-Za-z0-9_. -]*", column)
    return re.compile(rb"\\u00[2-7]" if plain else rb"\\")


def _carefully(line: bytes, number: int, offset: int, refusals: Refusals) -> Document | None:
    """The document of a line that the fast path could not take, or None when it is blank or was refused."""
    if offset == 0 and line.startswith(BYTE_ORDER_MARK):
        line = line[len(BYTE_ORDER_MARK) :]
    if not line or line.isspace():
        return None
    characters = refusals.decode(line, offset)
    if characters is None:
        return None
    text = _text_of(characters, len(line), offset, refusals)
    if text is None:
        return None
    flags, tally = 0, refusals.tally
    size_bytes = len(text.encode(errors="surrogatepass"))
    tally.read.add(1, size_bytes)
    repaired = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    utf8 = repaired.encode()
    if repaired != text:
        flags = DocumentFlag.REPAIRED
        tally.edit("lone_surrogates", size_bytes - len(utf8))
    elif len(characters.encode()) != len(line):
        flags = DocumentFlag.REPAIRED
        tally.edit("invalid_utf8_replaced", 0)
    return Document(utf8, number, offset, refusals.file.source, flags, repaired)


def _some(names: list[str]) -> str:
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return ", ".join(name[:NAMED_CHARACTERS] for name in names[:NAMED]) + more or "none"


def _text_of(characters: str, size_bytes: int, offset: int, refusals: Refusals) -> str | None:
    column = refusals.file.text_column
    remedy = "correct the line, or drop such lines: --errors skip"

    def refuse(reason: str, what: str, remedy: str = remedy) -> None:
        refusals.refuse(reason, size_bytes, InputError(what, where=refusals.at(offset), remedy=remedy))

    times = 0

    def to_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal times
        times = sum(name == column for name, _ in pairs)  # the outermost object comes last
        return dict(pairs)

    try:
        record: Any = json.loads(characters, object_pairs_hook=to_object)
    except (ValueError, RecursionError) as error:
        detail = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        refuse("not_json", f"this line is not JSON: {detail}")
        return None
    if type(record) is not dict:
        refuse("not_json", f"this line is JSON, but no object: {characters[:40]}")
        return None
    if times > 1:
        refuse("no_text", f"the key '{column}' stands {times} times in this line, so its value is ambiguous")
        return None
    fields = cast("dict[str, Any]", record)
    names = list(fields)
    text = fields.get(column, _MISSING)
    if text is _MISSING:
        guess = nearest(column, names)
        refuse(
            "no_text",
            f"this line has no key '{column}'; it has: {_some(names)}",
            f"--text-column {guess}" if guess else "choose the key that holds the text with --text-column",
        )
    elif text is not None and not isinstance(text, str):
        refuse("no_text", f"the value under '{column}' is {type(text).__name__}, not text")
    else:
        return text or ""
    return None
