"""grain: a MapDataset over a memory map of fixed chunks, shuffled and batched (rows batched after its
threads instead are nine times slower), read by two threads, four batches ahead."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.rivals.contender import Stream, Variant
from benchmarks.rivals.corpus import Corpus, T
from benchmarks.rivals.environments import Environment

ENVIRONMENT = Environment(name="grain", requirements=("numpy==2.4.6", "grain==0.2.18"))

_AHEAD = 4


def convert(corpus: Corpus) -> None:
    """It reads the plain file."""


class Chunks:
    """grain's random access protocol."""

    def __init__(self, corpus: Corpus) -> None:
        self.tokens = corpus.tokens

    def __len__(self) -> int:
        return (len(self.tokens) - 1) // T

    def __getitem__(self, i: int) -> Any:
        return self.tokens[i * T : i * T + T + 1].astype(np.int64)


def opened(corpus: Corpus, B: int, state: Any) -> Stream:
    import grain

    steps = grain.MapDataset.source(Chunks(corpus)).seed(0).shuffle().repeat().batch(B, drop_remainder=True)
    # Its defaults, 16 threads and 500 batches ahead, would hold 4 GB at B = 512.
    stream: Any = iter(steps.to_iter_dataset(grain.ReadOptions(num_threads=2, prefetch_buffer_size=_AHEAD)))
    if state is not None:
        stream.set_state(state)

    def batches() -> Iterator[Any]:
        for ids in stream:
            yield ids[:, :-1], ids[:, 1:]

    return Stream(batches=batches(), state=stream.get_state)


VARIANTS = {
    "grain MapDataset (memmap)": Variant(
        produces="(B, T + 1) int64, inputs and targets views of it", open=opened, ahead=_AHEAD
    )
}
