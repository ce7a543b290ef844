"""More than 2³² tokens: a sparse store of 10 GB that takes no disk, with known ids at its far end."""

from pathlib import Path

import numpy as np
import pytest
import xxhash

from batchwright.batches.geometry import BatchGeometry
from batchwright.batches.loader import BatchLoader
from batchwright.foundation.array_file import BLOCK_BYTES, ArrayFile, ArrayFileWriter
from batchwright.sequences.index_build import build_index
from batchwright.sequences.packing import BestFit, Concatenate, Packing
from batchwright.sequences.plan import Plan
from batchwright.sequences.sampler import Sampler
from tests.sequences.small_store import SmallShard, SmallSplit, SmallStore

LONG = 2**32 + 12_345
T = 2**20


def sparse_tokens(path: Path, ids: list[int]) -> ArrayFile:
    """LONG zeros (guard included) and then these ids, as an opened array file over a sparse file."""
    count = LONG + len(ids)
    with path.open("wb") as file:
        file.truncate(2 * count)
        file.seek(2 * LONG)
        file.write(np.array(ids, "<u2").tobytes())
    array = np.memmap(path, "<u2", "r", 0, (count,)).view(np.ndarray)
    blocks = -(-2 * count // BLOCK_BYTES)
    checksums = np.full(blocks, xxhash.xxh3_64_intdigest(bytes(BLOCK_BYTES)), np.uint64)
    checksums[-1] = xxhash.xxh3_64_intdigest(array[(blocks - 1) * BLOCK_BYTES // 2 :].tobytes())
    return ArrayFile(
        path=path,
        kind="tokens",
        dtype=np.dtype("<u2"),
        array=array,
        checksums=checksums,
        unchecked=np.ones(blocks, np.uint8),
    )


@pytest.mark.parametrize("packing", [BestFit(), Concatenate()])
def test_addresses_beyond_four_billion_are_read_exactly(tmp_path: Path, packing: Packing) -> None:
    ids = [7, 8, 9, 0]
    with ArrayFileWriter(tmp_path / "documents", "documents", "<i8") as writer:
        writer.append(np.array([LONG, LONG + len(ids)], "<i8"))
    shard = SmallShard(
        tokens=sparse_tokens(tmp_path / "tokens", ids),
        documents=ArrayFile.open(tmp_path / "documents", "documents", "<i8"),
    )
    split = SmallSplit(shards=(shard, shard), document_count=4, token_count=2 * (LONG - 1 + len(ids)))
    store = SmallStore(directory=tmp_path, fingerprint="sparse", train=split)
    index = build_index(store, sequence_length=T, packing=packing)
    plan = Plan.of(index)
    loader = BatchLoader(plan, BatchGeometry(global_batch_size=1, micro_batch_size=1, sequence_length=T))
    for document in (1, 3):
        place = (document // 2) * shard.tokens.count + LONG
        inside = (index.starts.array <= place) & (place < index.starts.array + index.lengths.array)
        row = int(np.searchsorted(index.row_firsts.array, np.flatnonzero(inside)[0], "right")) - 1
        batch = next(loader.step_from(Sampler(plan).position_of(row, 5)))
        here = batch.documents[0] == document
        assert batch.targets[0][here].tolist() == ids
        assert batch.inputs[0][here].tolist() == [0, 7, 8, 9]
        assert batch.rows.tolist() == [row]
