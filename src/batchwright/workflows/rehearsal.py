"""`prepare --dry-run`: what a job would read, keep, write and take, from a sample, and nothing is written.

    pieces of about 1 MiB, in keyed order, till 16 MiB are read ─▶ clean ─▶ tokenize ─▶ ratio to bytes of input ─▶ × all

Totals are ratio estimates, with the interval of two standard errors between pieces (Cochran, Sampling Techniques,
1977, section 6.3; the pieces are drawn without replacement). Guarantee: where the sample is the whole, the numbers are
exact, but that duplicates are only found when everything is read, so they still count. Price: reading and tokenizing
the sample, 1–3 s; a vocabulary to be trained is trained.
"""

import math
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from batchwright.documents.inputs import InputFile, TextSource, discover
from batchwright.documents.partitions import WHOLE, Partition, Piece, partition
from batchwright.documents.pipeline import Step, clean
from batchwright.documents.reading import read_partition
from batchwright.documents.refusals import ErrorPolicy
from batchwright.documents.streams import expansion
from batchwright.documents.tally import Tally
from batchwright.foundation.permutation import KeyedPermutation
from batchwright.foundation.randomness import key
from batchwright.foundation.units import MiB
from batchwright.tokens.shard import PROVENANCE, dtype_for
from batchwright.tokens.tokenizer import Tokenizer

SAMPLE_BYTES = 16 * MiB
PIECE_BYTES = 1 * MiB
_QUANTITIES = ("documents", "kept", "text_bytes", "tokens", "cpu_seconds")


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A total with its interval; all three are equal where everything was read."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Rehearsal:
    """What a job would do. Bytes of input are those on disk."""

    files: int
    formats: dict[str, int]  # files by format
    input_bytes: int
    sampled_bytes: int  # of input
    whole: bool  # everything was read
    documents: Estimate
    kept: Estimate  # documents; exact duplicates are still among them
    text_bytes: Estimate  # of the kept
    tokens: Estimate
    cpu_seconds: Estimate
    seconds: float  # with these workers, if the machine has nothing else to do
    workers: int
    store_bytes: float
    needed_bytes: float  # on disk while the job runs
    free_bytes: int
    tally: dict[str, Any]  # of the sample

    def to_json(self) -> dict[str, Any]:
        return {"dry_run": True, **asdict(self)}


def rehearse(
    sources: Sequence[TextSource],
    out: Path,
    *,
    tokenizer: Tokenizer,
    workers: int,
    errors: ErrorPolicy = "strict",
    seed: int = 0,
    steps: Sequence[Step],
    sample_bytes: int = SAMPLE_BYTES,
    heard: Callable[[float, float], None] = lambda done, total: None,
) -> Rehearsal:
    """Read a sample as `prepare` would. Raises what reading it raises."""
    inputs = discover(sources)
    pieces = partition(inputs, PIECE_BYTES)
    sizes = _sizes(pieces, inputs)
    total = sum(file.size for file in inputs)
    tally, rows, sampled = Tally(), list[list[float]](), 0.0
    for place in KeyedPermutation(size=len(pieces), key=key(seed, "rehearsal")).forward_range(0, len(pieces)):
        if sampled >= sample_bytes:
            break
        read, counts = _try(pieces[int(place)], sizes[int(place)], inputs, tokenizer, errors, steps, tally)
        rows.append([read, *counts])
        sampled += read
        heard(min(sampled, sample_bytes), min(total, sample_bytes))
    found = np.array(rows)
    whole = len(rows) == len(pieces) and math.isclose(sampled, sum(sizes))
    estimates = {
        name: _total(found[:, 0], found[:, 1 + column], total, len(pieces), whole)
        for column, name in enumerate(_QUANTITIES)
    }
    # The first pieces pay for compiled code and an engine's empty cache; a long job forgets them.
    settled = found[len(found) // 2 :]
    estimates["cpu_seconds"] = _total(settled[:, 0], settled[:, -1], total, len(pieces), whole and len(found) < 2)
    width = dtype_for(tokenizer.vocabulary_size).itemsize
    store_bytes = estimates["tokens"].value * width + estimates["kept"].value * (8 + PROVENANCE.itemsize)
    return Rehearsal(
        files=len(inputs),
        formats=_formats(inputs),
        input_bytes=total,
        sampled_bytes=round(sampled),
        whole=whole,
        **estimates,
        seconds=estimates["cpu_seconds"].value / workers,
        workers=workers,
        store_bytes=store_bytes,
        needed_bytes=2 * store_bytes,
        free_bytes=shutil.disk_usage(_existing(out)).free,
        tally=tally.to_dict(),
    )


def _try(
    part: Partition,
    size: float,
    inputs: Sequence[InputFile],
    tokenizer: Tokenizer,
    errors: ErrorPolicy,
    steps: Sequence[Step],
    tally: Tally,
) -> tuple[float, list[float]]:
    """(bytes of input read, [documents, kept, text bytes, tokens, CPU seconds]) of one piece. Of a compressed .jsonl
    the beginning stands for the file."""
    began, before = time.process_time(), tally.read.documents
    file = inputs[part.pieces[0].file]
    limit = PIECE_BYTES if file.compression and file.format == "jsonl" else math.inf
    texts, text_bytes, offset = list[bytes](), 0, 0
    documents = read_partition(part, inputs=inputs, errors=errors, tally=tally)
    for document in clean(documents, steps, tally):
        texts.append(document.utf8)
        text_bytes += len(document.utf8)
        offset = document.offset
        if offset > limit:
            size = min(size, offset / expansion(file.location, file.compression, offset))
            break
    ids, _ = tokenizer.encode_batch(texts) if texts else (np.empty(0), None)
    counts = (tally.read.documents - before, len(texts), text_bytes, len(ids) + len(texts))
    return size, [*map(float, counts), time.process_time() - began]


def _total(read: Any, counted: Any, total: int, pieces: int, whole: bool) -> Estimate:
    """The ratio estimate of a total."""
    if whole or not read.sum():
        value = float(counted.sum())
        return Estimate(value=value, low=value, high=value)
    ratio, n = counted.sum() / read.sum(), len(read)
    value = ratio * total
    if n < 2:
        return Estimate(value=value, low=0.0, high=math.inf)
    spread = ((counted - ratio * read) ** 2).sum() / (n - 1)
    error = total / read.sum() * math.sqrt(n * spread * max(0.0, 1 - n / pieces))
    return Estimate(value=value, low=max(0.0, value - 2 * error), high=value + 2 * error)


def _sizes(pieces: Sequence[Partition], inputs: Sequence[InputFile]) -> list[float]:
    """Bytes of input of each partition; a file's row groups count as equally large."""
    groups: dict[int, int] = {}
    for part in pieces:
        for piece in part.pieces:
            groups[piece.file] = max(groups.get(piece.file, 1), piece.stop)

    def size(piece: Piece) -> float:
        file = inputs[piece.file]
        if piece.stop == WHOLE:
            return file.size - piece.start
        if file.format == "parquet":
            return file.size * (piece.stop - piece.start) / groups[piece.file]
        return piece.stop - piece.start

    return [sum(size(piece) for piece in part.pieces) for part in pieces]


def _formats(inputs: Sequence[InputFile]) -> dict[str, int]:
    found: dict[str, int] = {}
    for file in inputs:
        name = f"{file.format}, {file.compression}" if file.compression else file.format
        found[name] = found.get(name, 0) + 1
    return found


def _existing(path: Path) -> Path:
    """The nearest directory that is there."""
    return next(place for place in (path.absolute(), *path.absolute().parents) if place.is_dir())
