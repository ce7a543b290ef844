"""nanoGPT's `get_batch`, word for word: random windows of a memory map opened for every batch, with replacement."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.rivals.contender import Stream, Variant
from benchmarks.rivals.corpus import Corpus, T
from benchmarks.rivals.environments import TORCH, Environment

ENVIRONMENT = Environment(name="torchdata", requirements=(TORCH, "numpy==2.4.6", "torchdata==0.11.0"))


def convert(corpus: Corpus) -> None:
    """It reads the plain file."""


def get_batches(corpus: Corpus, B: int) -> Iterator[Any]:
    import torch

    torch.set_num_threads(1)
    while True:
        data = np.memmap(corpus.tokens_file, np.uint16, "r")
        ix = torch.randint(len(data) - T, (B,)).tolist()
        x = torch.stack([torch.from_numpy(data[i : i + T].astype(np.int64)) for i in ix])
        y = torch.stack([torch.from_numpy(data[i + 1 : i + 1 + T].astype(np.int64)) for i in ix])
        yield x, y


VARIANTS = {
    "nanoGPT get_batch": Variant(
        produces="inputs, targets int64; with replacement",
        open=lambda corpus, B, state: Stream(batches=get_batches(corpus, B)),
    )
}
