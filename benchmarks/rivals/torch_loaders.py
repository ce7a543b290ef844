"""torch's DataLoader and torchdata's StatefulDataLoader over a memory map of fixed chunks, shuffled."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.rivals.contender import Stream, Variant
from benchmarks.rivals.corpus import Corpus, T
from benchmarks.rivals.nanogpt import ENVIRONMENT

__all__ = ["ENVIRONMENT", "VARIANTS", "convert"]


def convert(corpus: Corpus) -> None:
    """They read the plain file."""


class Chunks:
    """A map-style dataset, as its users write it; at module level, so that workers can be given it."""

    def __init__(self, corpus: Corpus) -> None:
        self.tokens = corpus.tokens

    def __len__(self) -> int:
        return (len(self.tokens) - 1) // T

    def __getitem__(self, i: int) -> Any:
        import torch

        chunk = torch.from_numpy(self.tokens[i * T : i * T + T + 1].astype(np.int64))
        return chunk[:-1], chunk[1:]


def opened(corpus: Corpus, B: int, state: Any, workers: int, stateful: bool) -> Stream:
    import torch
    from torch.utils.data import DataLoader
    from torchdata.stateful_dataloader import StatefulDataLoader

    torch.set_num_threads(1)
    torch.manual_seed(0)
    kind: Any = StatefulDataLoader if stateful else DataLoader
    loader: Any = kind(Chunks(corpus), batch_size=B, shuffle=True, drop_last=True, num_workers=workers)
    if state is not None:
        loader.load_state_dict(state)

    def batches() -> Iterator[Any]:
        while True:
            yield from loader

    stream = batches()
    return Stream(batches=stream, state=loader.state_dict if stateful else None, close=stream.close)


VARIANTS = {
    "torch DataLoader, 0 workers": Variant(
        produces="inputs, targets int64",
        open=lambda corpus, B, state: opened(corpus, B, state, 0, False),
    ),
    "torch DataLoader, 2 workers": Variant(
        produces="inputs, targets int64, through shared memory",
        open=lambda corpus, B, state: opened(corpus, B, state, 2, False),
        ahead=4,
    ),
    "torchdata StatefulDataLoader": Variant(
        produces="inputs, targets int64",
        open=lambda corpus, B, state: opened(corpus, B, state, 0, True),
    ),
}
