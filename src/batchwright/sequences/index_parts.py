"""An index in parts: ranges of windows packed by tasks, on any engine, and joined.

Guarantee: a part is named by everything that determines it (the index's description, the ends of the documents, the
loss masks, the range of windows), so a part that is there is never made again, and the joined files are byte for byte
those that one process writes. Price over building in one: every byte of the index is written twice. Only for packings
whose windows stand alone; a part is ~4 million documents, about a second of work.

    windows  0 … 63 │ 64 … 127 │ 128 …   →   PART.segments.start, … , PART.done.json   →   joined in order
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from batchwright.foundation.array_file import ArrayFile, ArrayFileWriter
from batchwright.foundation.execution import Executor, Manifest, Task
from batchwright.sequences.document_table import DocumentTable
from batchwright.sequences.index import FILES, seal_of
from batchwright.sequences.ledger import Ledger
from batchwright.sequences.loss_masks import LossMasks
from batchwright.sequences.packing import Packing, packing_from_dict
from batchwright.sequences.row_writer import write_rows
from batchwright.sequences.windows import packed_windows, window_count

WINDOWS_PER_PART = 64
_ITEMS_AT_ONCE = 1 << 18

Done = Callable[[int], None]


def part_tasks(
    table: DocumentTable, masks: LossMasks | None, packing: Packing, origin: dict[str, Any], directory: Path
) -> list[Task]:
    """The tasks of an index, in the order in which their results are joined."""
    count = window_count(packing, table.document_count)
    ends = [seal_of(file) for file in table.files]
    context = {"ends": [str(file.path) for file in table.files], "token_counts": list(table.token_counts)}
    flags: dict[str, Any] = {}
    if masks is not None:
        flags["loss_masks"] = [seal_of(file) for file in masks.files]
        context["masks"] = [str(file.path) for file in masks.files]
    return [
        Task(
            function=f"{__name__}:build_part",
            parameters={
                "origin": origin,
                "document_ends": ends,
                **flags,
                "first_window": first,
                "stop_window": min(first + WINDOWS_PER_PART, count),
            },
            output=str(directory),
            context=context,
        )
        for first in range(0, count, WINDOWS_PER_PART)
    ]


def build_part(parameters: Mapping[str, Any], prefix: Path) -> Manifest:
    """The task: pack a range of windows into four files named by `prefix`."""
    origin = parameters["origin"]
    packing, length = packing_from_dict(origin["packing"]), int(origin["sequence_length"])
    ends = [ArrayFile.open(Path(path), "documents", "<i8") for path in parameters["ends"]]
    packed = packed_windows(
        DocumentTable(ends, parameters["token_counts"]),
        packing,
        length,
        int(origin["seed"]),
        first=parameters["first_window"],
        stop=parameters["stop_window"],
    )
    masks = [ArrayFile.open(Path(path), "mask", "<u1") for path in parameters.get("masks", ())]
    flags = LossMasks(masks) if masks else None
    return write_rows(lambda name: _of_part(prefix, name), packing, length, packed, flags, lambda _: None).to_dict()


def run_parts(tasks: list[Task], executor: Executor, done: Done) -> list[Ledger]:
    """Run the tasks; their ledgers, in the tasks' order."""
    ledgers: dict[str, Ledger] = {}
    laid = 0
    for task, manifest in executor.run(tasks):
        ledgers[task.key] = Ledger.from_dict(manifest)
        laid += ledgers[task.key].documents
        done(laid)
    return [ledgers[task.key] for task in tasks]


def join_parts(tasks: list[Task], directory: Path) -> None:
    """Lay the parts' files end to end into the four files of the index."""
    for name, (kind, dtype) in FILES.items():
        with ExitStack() as stack:
            writer = stack.enter_context(ArrayFileWriter(directory / name, kind, dtype))
            segments = 0
            for task in tasks:
                part = ArrayFile.open(_of_part(task.prefix, name), kind, dtype)
                if name != "rows.first":
                    _copy(part, part.count, 0, writer)
                else:  # the last entry, the number of segments, is the next part's first
                    _copy(part, part.count - 1, segments, writer)
                    segments += int(part.array[-1])
            if name == "rows.first":
                writer.append(np.array([segments], np.int64))


def _of_part(prefix: Path, name: str) -> Path:
    return prefix.with_name(f"{prefix.name}.{name}")


def _pieces(count: int) -> Iterator[tuple[int, int]]:
    for first in range(0, count, _ITEMS_AT_ONCE):
        yield first, min(first + _ITEMS_AT_ONCE, count)


def _copy(part: ArrayFile, count: int, added: int, writer: ArrayFileWriter) -> None:
    for first, stop in _pieces(count):
        part.check(first, stop)
        piece = part.array[first:stop]
        writer.append(piece + piece.dtype.type(added) if added else piece)
