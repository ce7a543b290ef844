"""Input files become partitions: the pieces of work that any executor may run in any order.

A partition is a list of pieces (file, start, stop), in global order: byte ranges of a plain .jsonl file (a line belongs
to the range in which it begins), row groups of a large parquet file, or whole files; small files share a partition.

    target 10:  a.jsonl (25 bytes)   b.txt (3)  c.txt (4)  d.jsonl.gz (30)
                [0,10) [10,20) [20,25 + b + c]             [whole]

Guarantee: the documents read from all partitions, one partition after the other, are the same for every target size.
Price: a compressed file is one partition however large it is, so split those that should be read in parallel; only
parquet files above the target are opened (for the sizes of their row groups).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from batchwright.documents.inputs import InputFile
from batchwright.foundation.errors import BatchwrightError, InputError
from batchwright.foundation.units import MiB

WHOLE = -1


@dataclass(frozen=True, slots=True)
class Piece:
    """Part of input file number `file`: bytes [start, stop) or row groups [start, stop); stop = WHOLE: to its end."""

    file: int
    start: int = 0
    stop: int = WHOLE


@dataclass(frozen=True, slots=True)
class Partition:
    """Pieces that are read one after the other by one task."""

    pieces: tuple[Piece, ...]

    @property
    def files(self) -> tuple[int, ...]:
        """Numbers of the input files that are read from, ascending."""
        return tuple(dict.fromkeys(piece.file for piece in self.pieces))

    def to_dict(self) -> dict[str, Any]:
        """JSON, for tasks."""
        return {"pieces": [[piece.file, piece.start, piece.stop] for piece in self.pieces]}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """The partition that `to_dict` wrote."""
        return cls(tuple(Piece(*piece) for piece in value["pieces"]))


def partition(inputs: Sequence[InputFile], target_bytes: int = 32 * MiB) -> list[Partition]:
    """Cut the inputs into partitions of about `target_bytes` bytes each."""
    if target_bytes < 1:
        raise InputError(f"a partition cannot have {target_bytes} bytes", remedy="a size such as 32 MiB")
    partitions: list[Partition] = []
    pieces: list[Piece] = []
    gathered_bytes = 0
    for number, file in enumerate(inputs):
        for piece, size_bytes in _pieces(number, file, target_bytes):
            if pieces and gathered_bytes + size_bytes > target_bytes:
                partitions.append(Partition(tuple(pieces)))
                pieces, gathered_bytes = [], 0
            pieces.append(piece)
            gathered_bytes += size_bytes
    if pieces:
        partitions.append(Partition(tuple(pieces)))
    return partitions


def _pieces(number: int, file: InputFile, target_bytes: int) -> list[tuple[Piece, int]]:
    if file.size > target_bytes and file.format == "jsonl" and not file.compression:
        starts = range(0, file.size, target_bytes)
        # The last range is open: lines appended between listing and reading are then read, not lost in silence.
        stops = [*starts[1:], WHOLE]
        return [
            (Piece(number, start, stop), (file.size if stop == WHOLE else stop) - start)
            for start, stop in zip(starts, stops, strict=True)
        ]
    if file.size > target_bytes and file.format == "parquet":
        return _row_group_pieces(number, file, target_bytes)
    return [(Piece(number), file.size)]


def _row_group_pieces(number: int, file: InputFile, target_bytes: int) -> list[tuple[Piece, int]]:
    from batchwright.documents.read_parquet import row_group_bytes

    try:
        sizes = row_group_bytes(file)
    except BatchwrightError:
        # The reader meets the same damage and treats it as the job's error policy says.
        return [(Piece(number), file.size)]
    pieces: list[tuple[Piece, int]] = []
    first, gathered_bytes = 0, 0
    for group, size_bytes in enumerate(sizes):
        gathered_bytes += size_bytes
        if gathered_bytes >= target_bytes or group == len(sizes) - 1:
            pieces.append((Piece(number, first, group + 1), gathered_bytes))
            first, gathered_bytes = group + 1, 0
    return pieces or [(Piece(number), file.size)]
