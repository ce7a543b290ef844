"""Resume far inside a plan of 1e12 tokens: the first batch within milliseconds, exact, without walking there.

The indexes are sparse files with real headers' arithmetic: 488 million rows that take no disk. Only what the first
steps touch is written into them, at the places that the sampler names.
"""

import time
from pathlib import Path

import numpy as np
import pytest

from batchwright.batches.loader import BatchLoader
from batchwright.batches.schedule import BatchSchedule, ScheduledGeometry
from batchwright.foundation.array_file import ArrayFile
from batchwright.foundation.fingerprint import fingerprint
from batchwright.sequences.batch_rule import RampedBatch
from batchwright.sequences.index import FILES, SequenceIndex
from batchwright.sequences.packing import BestFit
from batchwright.sequences.plan import Plan
from batchwright.sequences.sampler import Sampler
from batchwright.sequences.stage import Source
from batchwright.sequences.stored_tokens import StoredTokens
from tests.sequences.small_store import write_store

T = 2048
TOKENS = 10**12
RAMP = RampedBatch(first=16, last=1562, over=12 * 10**9)


def sparse(path: Path, kind: str, dtype: str, count: int) -> ArrayFile:
    """`count` zeros that take no disk, writable; nothing of it is to be checked again."""
    with path.open("wb") as file:
        file.truncate(count * np.dtype(dtype).itemsize)
    return ArrayFile(
        path=path,
        kind=kind,
        dtype=np.dtype(dtype),
        array=np.memmap(path, dtype, "c", 0, (count,)).view(np.ndarray),
        checksums=np.empty(0, np.uint64),
        unchecked=np.zeros(-(-count * np.dtype(dtype).itemsize // 2**20), np.uint8),
    )


def huge_source(directory: Path, name: str, rows: int, weight: int) -> Source:
    """A source of so many rows, each one whole segment of the same small store."""
    store = write_store(directory / name, [3 * T], seed=weight)
    # Maps are private: what the test writes lands in memory, page by page, and never on the disk.
    counts = {"segments.start": rows, "segments.length": rows, "rows.first": rows + 1, "rows.targets": rows}
    files = {file: sparse(directory / name / file, kind, dtype, counts[file]) for file, (kind, dtype) in FILES.items()}
    stored = StoredTokens.of(store)
    origin = {
        "store": fingerprint(name),
        "split": "train",
        "packing": BestFit().to_dict(),
        "sequence_length": T,
        "seed": 0,
    }
    index = SequenceIndex(
        directory=directory / name,
        stored=stored,
        origin=origin,
        documents_cut=0,
        starts=files["segments.start"],
        lengths=files["segments.length"],
        row_firsts=files["rows.first"],
        row_targets=files["rows.targets"],
    )
    return Source(name=name, index=index, weight=weight)


def fill(source: Source, counted: np.ndarray, laid: np.ndarray) -> None:
    """Row r is one segment of T targets, from address 1 + r mod T on. All rows of the step are counted, a few laid."""
    index = source.index
    index.row_targets.array[counted] = T
    index.row_firsts.array[laid], index.row_firsts.array[laid + 1] = laid, laid + 1
    index.starts.array[laid], index.lengths.array[laid] = 1 + laid % T, T


@pytest.mark.parametrize("shares", [{"text": 1}, {"web": 7, "code": 2, "books": 1}], ids=["one source", "mixture"])
def test_ninety_percent_of_a_trillion_tokens_is_fifty_milliseconds_away(tmp_path: Path, shares: dict[str, int]) -> None:
    total = sum(shares.values())
    sources = [huge_source(tmp_path, name, TOKENS // T * w // total // 2, w) for name, w in shares.items()]
    plan = Plan.mix(sources, seed=1)
    position = BatchSchedule(plan, RAMP).step_at(int(0.9 * TOKENS) // T // 1562).first_position
    placed = Sampler(plan).place([(position, RAMP.last)])
    for number, source in enumerate(sources):
        here = placed.streams == number
        fill(source, placed.rows[here], placed.rows[:8][here[:8]])
    state = {**_loader(plan).state(), "position": position}

    def first_batch() -> float:
        begun = time.perf_counter()
        loader = _loader(Plan.mix(sources, seed=1))
        loader.restore(state)
        step = next(iter(loader))
        batch = next(step)
        taken = time.perf_counter() - begun
        assert batch.positions.tolist() == list(range(position, position + 8))
        assert np.array_equal(batch.rows, placed.rows[:8])
        assert batch.target_count == 8 * T
        tokens = sources[int(batch.streams[0])].index.stored.shards[0].tokens.array
        first = 1 + int(batch.rows[0]) % T
        assert np.array_equal(batch.targets[0], tokens[first : first + T])
        assert int(batch.epochs[0]) == 1
        return taken

    assert min(first_batch() for _ in range(5)) < 0.05


def _loader(plan: Plan) -> BatchLoader:
    geometry = ScheduledGeometry(schedule=BatchSchedule(plan, RAMP), micro_batch_size=8, world_size=64)
    return BatchLoader(plan, geometry)
