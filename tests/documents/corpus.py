"""Small corpora on disk, and everything that reads them, in one line."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from batchwright.documents.cleaning import DEFAULT_STEPS
from batchwright.documents.document import Document
from batchwright.documents.inputs import TextSource, discover
from batchwright.documents.partitions import partition
from batchwright.documents.pipeline import Step, clean
from batchwright.documents.reading import read_partition
from batchwright.documents.refusals import ErrorPolicy
from batchwright.documents.tally import Tally


def read_all(
    *paths: Path,
    errors: ErrorPolicy = "strict",
    target_bytes: int = 2**25,
    steps: Sequence[Step] = DEFAULT_STEPS,
    **source: Any,
) -> tuple[list[Document], Tally]:
    """The cleaned documents of these paths in order, and the tally, checked."""
    tally = Tally()
    inputs = discover([TextSource(name="test", paths=tuple(map(str, paths)), **source)], tally=tally)
    documents: list[Document] = []
    for part in partition(inputs, target_bytes):
        chosen = {number: inputs[number] for number in part.files}
        documents += clean(read_partition(part, inputs=chosen, errors=errors, tally=tally), steps, tally)
    tally.check()
    return documents, tally


def texts_of(documents: Sequence[Document]) -> list[str]:
    """What the documents say."""
    return [document.text for document in documents]


def dropped(tally: Tally) -> dict[str, int]:
    """Documents dropped by reason."""
    return {reason: amount.documents for reason, amount in tally.dropped.items()}


def edited(tally: Tally) -> dict[str, int]:
    """Documents edited by kind."""
    return {kind: amount.documents for kind, amount in tally.edited.items()}


def write_jsonl(path: Path, texts: Sequence[str], key: str = "text") -> Path:
    """A .jsonl file with one object per text."""
    path.write_bytes(b"".join(orjson.dumps({"id": n, key: text}) + b"\n" for n, text in enumerate(texts)))
    return path


def compress(path: Path, content: bytes, *, members: int = 1) -> Path:
    """A .gz or .zst file, in so many gzip members or zstd frames."""
    codec = "gzip" if path.suffix == ".gz" else "zstd"
    size = -(-len(content) // members)
    path.write_bytes(b"".join(_member(content[n * size : (n + 1) * size], codec) for n in range(members)))
    return path


def _member(content: bytes, codec: str) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, codec) as stream:
        stream.write(content)
    return sink.getvalue().to_pybytes()


def write_parquet(path: Path, texts: Sequence[str | None], *, column: str = "text", rows: int = 1000) -> Path:
    """A parquet file with a text column and a number column, in row groups of `rows`."""
    table = pa.table({"number": pa.array(range(len(texts)), pa.int64()), column: pa.array(texts, pa.string())})
    pq.write_table(table, path, row_group_size=rows)
    return path


def cuts(content: bytes, count: int) -> Iterator[int]:
    """`count` lengths at which to cut content short, spread evenly and never the whole."""
    return (len(content) * n // count for n in range(count))
