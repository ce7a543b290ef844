"""litdata: TokensLoader over its chunks of uint16 ids, shuffled, its own StreamingDataLoader, no workers."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.rivals.contender import Stream, Variant
from benchmarks.rivals.corpus import Corpus, T
from benchmarks.rivals.environments import TORCH, Environment

ENVIRONMENT = Environment(name="litdata", requirements=(TORCH, "numpy==2.4.6", "litdata==0.2.76"))


class Ids:
    """A document's ids, by its place in the plain file; a class, because litdata sends it to a process."""

    def __init__(self, corpus: Corpus) -> None:
        self.corpus = corpus

    def __call__(self, part: tuple[int, int]) -> Any:
        return np.array(self.corpus.tokens[part[0] : part[1]])


def convert(corpus: Corpus) -> None:
    from litdata import TokensLoader, optimize

    out = corpus.converted("litdata")
    if (out / "index.json").exists():
        return
    ends = corpus.ends.tolist()
    optimize(
        fn=Ids(corpus),
        inputs=list(zip([0, *ends[:-1]], ends, strict=True)),
        output_dir=str(out),
        chunk_size=(T + 1) * 8192,
        item_loader=TokensLoader(block_size=T + 1),
        num_workers=1,
        verbose=False,
    )


def opened(corpus: Corpus, B: int, state: Any) -> Stream:
    import torch
    from litdata import StreamingDataLoader, StreamingDataset, TokensLoader

    torch.set_num_threads(1)
    dataset = StreamingDataset(
        str(corpus.converted("litdata")), item_loader=TokensLoader(block_size=T + 1), shuffle=True, drop_last=True
    )
    loader: Any = StreamingDataLoader(dataset, batch_size=B, num_workers=0, drop_last=True)
    if state is not None:
        loader.load_state_dict(state)

    def batches() -> Iterator[Any]:
        while True:
            for ids in loader:
                wide = ids.to(torch.int64)
                yield wide[:, :-1], wide[:, 1:]

    stream = batches()
    return Stream(batches=stream, state=loader.state_dict, close=stream.close)


VARIANTS = {"litdata TokensLoader": Variant(produces="(B, T + 1) int64, inputs and targets views of it", open=opened)}
