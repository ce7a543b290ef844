"""Small plans for the laws of the data stream: real stores, real indexes, built once per test session."""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from hypothesis import strategies as st

from batchwright.batches.batch import Batch
from batchwright.sequences.index import SequenceIndex
from batchwright.sequences.index_build import build_index
from batchwright.sequences.packing import BestFit, BestFitTruncated, Concatenate, Packing, StartAligned
from batchwright.sequences.plan import Plan
from tests.sequences.small_store import SmallStore, write_store

# Documents shorter than, as long as, longer than and many times longer than a row; one that is only <endoftext>.
CORPORA: tuple[tuple[int, ...], ...] = (
    (5, 3, 9, 2, 20, 1, 7, 4, 4, 13, 6, 2, 8, 31, 1, 1, 16, 8, 24, 5),
    tuple(range(1, 40)),
    (50,) * 7,
    (2,) * 60,
)
PACKINGS: tuple[Packing, ...] = (BestFit(window_documents=8, block_documents=2), BestFit(), Concatenate())
DROPPING_PACKINGS: tuple[Packing, ...] = (
    BestFitTruncated(window_documents=8, block_documents=2),
    BestFitTruncated(),
    StartAligned(buffer_documents=3, block_documents=2),
    StartAligned(),
)


@cache
def _home() -> Path:
    home = Path(tempfile.mkdtemp(prefix="laws-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    return home


@cache
def store_of(corpus: int) -> SmallStore:
    """The store of a corpus, in shards of six documents."""
    return write_store(_home() / str(corpus), list(CORPORA[corpus]), shard_documents=6, seed=corpus)


@cache
def index_of(corpus: int, packing: Packing, sequence_length: int) -> SequenceIndex:
    return build_index(store_of(corpus), sequence_length=sequence_length, packing=packing)


def plans_of(packings: tuple[Packing, ...]) -> st.SearchStrategy[Plan]:
    """Plans over any corpus, with one of these packings."""
    return st.builds(
        lambda corpus, packing, sequence_length, seed: Plan.of(index_of(corpus, packing, sequence_length), seed=seed),
        st.integers(0, len(CORPORA) - 1),
        st.sampled_from(packings),
        st.sampled_from([2, 5, 8, 13, 1000]),
        st.integers(0, 3),
    )


PLANS = plans_of(PACKINGS)
DROPPING_PLANS = plans_of(DROPPING_PACKINGS)


def eaten(batch: Batch) -> list[tuple[int, bytes]]:
    """What is trained on, row by row: (position, the bytes of ids, mask and position ids); filler left out."""
    return [
        (
            position,
            b"".join(part[b].tobytes() for part in (batch.inputs, batch.targets, batch.loss_mask, batch.position_ids)),
        )
        for b, position in enumerate(batch.positions.tolist())
        if position >= 0
    ]
