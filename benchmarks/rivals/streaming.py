"""mosaicml-streaming: fixed chunks of T + 1 ids as uint16 arrays in MDS shards, shuffled, its own StreamingDataLoader,
no workers.

Its package imports torchvision, for image data, and the published torchvision cannot load beside a torch without CUDA:
where that is so, an empty module takes its place. Nothing of it is on the path measured here.
"""

import importlib
import importlib.machinery
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np

from benchmarks.rivals.contender import Stream, Variant
from benchmarks.rivals.corpus import Corpus, T
from benchmarks.rivals.environments import TORCH, Environment

ENVIRONMENT = Environment(name="streaming", requirements=(TORCH, "mosaicml-streaming==0.13.0"))


def library() -> Any:
    """The package, with an empty torchvision where the real one does not load."""
    try:
        importlib.import_module("torchvision")
    except (ImportError, RuntimeError):
        for name in [name for name in sys.modules if name.startswith("torchvision")]:
            del sys.modules[name]
        names = ("", ".datasets", ".datasets.vision", ".datasets.folder", ".transforms", ".transforms.functional")
        for name in names:
            module: Any = ModuleType("torchvision" + name)
            module.__spec__ = importlib.machinery.ModuleSpec(module.__name__, None)
            module.VisionDataset = module.ToTensor = module.to_tensor = object
            sys.modules["torchvision" + name] = module
    return importlib.import_module("streaming")


def convert(corpus: Corpus) -> None:

    out, tokens = corpus.converted("mds"), corpus.tokens
    if (out / "index.json").exists():
        return
    with library().MDSWriter(out=str(out), columns={"tokens": f"ndarray:uint16:{T + 1}"}) as writer:
        for first in range(0, len(tokens) - T, T):
            writer.write({"tokens": np.asarray(tokens[first : first + T + 1])})


def collate(items: list[Any]) -> Any:
    """(B, T) inputs and targets from one widened (B, T + 1)."""
    import torch

    ids = torch.from_numpy(np.stack([item["tokens"] for item in items]).astype(np.int64))
    return ids[:, :-1], ids[:, 1:]


def opened(corpus: Corpus, B: int, state: Any) -> Stream:
    import torch

    streaming = library()
    from streaming.base.util import clean_stale_shared_memory

    torch.set_num_threads(1)
    clean_stale_shared_memory()
    dataset = streaming.StreamingDataset(local=str(corpus.converted("mds")), shuffle=True, batch_size=B)
    loader = streaming.StreamingDataLoader(dataset, batch_size=B, num_workers=0, collate_fn=collate, drop_last=True)
    if state is not None:
        loader.load_state_dict(state)

    def batches() -> Iterator[Any]:
        while True:
            yield from loader

    stream = batches()
    return Stream(batches=stream, state=loader.state_dict, close=stream.close)


VARIANTS = {"mosaicml-streaming": Variant(produces="(B, T + 1) int64, inputs and targets views of it", open=opened)}
