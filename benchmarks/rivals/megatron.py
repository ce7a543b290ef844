"""megatron-core's GPTDataset over its `.bin`/`.idx`, batched by torch's DataLoader in this process, as its training
loop does (position = consumed samples)."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.rivals.contender import Stream, Variant
from benchmarks.rivals.corpus import EOT, VOCABULARY, Corpus, T
from benchmarks.rivals.environments import TORCH, Environment

ENVIRONMENT = Environment(name="megatron", requirements=(TORCH, "numpy==2.4.6", "megatron-core==0.16.1"))


class Vocabulary:
    """What GPTDataset asks of a tokenizer."""

    vocab_size = VOCABULARY
    eod = EOT
    unique_identifiers: dict[str, str] = {"class": "benchmark"}  # noqa: RUF012 - read by json.dumps in megatron-core


def convert(corpus: Corpus) -> None:
    """Every document as a sequence of its own."""
    import torch
    from megatron.core.datasets.indexed_dataset import IndexedDatasetBuilder, get_bin_path, get_idx_path

    prefix = str(corpus.converted("megatron"))
    if corpus.converted("megatron.idx").exists():
        return
    builder = IndexedDatasetBuilder(get_bin_path(prefix), dtype=np.uint16)
    tokens, begin = corpus.tokens, 0
    for end in corpus.ends.tolist():
        builder.add_item(torch.from_numpy(tokens[begin:end].astype(np.int32)))
        builder.end_document()
        begin = end
    builder.finalize(get_idx_path(prefix))


def opened(corpus: Corpus, B: int, state: Any) -> Stream:
    import torch
    from megatron.core.datasets.gpt_dataset import GPTDataset, GPTDatasetConfig
    from megatron.core.datasets.indexed_dataset import IndexedDataset
    from megatron.core.datasets.utils import Split
    from torch.utils.data import DataLoader

    torch.set_num_threads(1)
    config = GPTDatasetConfig(
        random_seed=0,
        sequence_length=T,
        split="1",
        blend=([str(corpus.converted("megatron"))], None),
        path_to_cache=str(corpus.converted("megatron-cache")),
        reset_position_ids=False,
        reset_attention_mask=False,
        eod_mask_loss=False,
        create_attention_mask=False,
        tokenizer=Vocabulary(),
    )
    prefix = str(corpus.converted("megatron"))
    indexed = IndexedDataset(prefix, multimodal=False, mmap=True)
    documents = np.arange(indexed.document_indices.shape[0] - 1, dtype=np.int32)
    dataset = GPTDataset(indexed, prefix, documents, None, Split.train, config)
    consumed = [state or 0]

    def batches() -> Iterator[Any]:
        while True:
            order = [range(first, first + B) for first in range(consumed[0] % len(dataset), len(dataset) - B + 1, B)]
            for batch in DataLoader(dataset, batch_sampler=order, num_workers=0):
                consumed[0] += B
                yield batch
            consumed[0] = 0

    return Stream(batches=batches(), state=lambda: consumed[0])


VARIANTS = {
    "megatron-core GPTDataset": Variant(
        produces="tokens, labels, position ids int64, loss mask float32; documents not isolated", open=opened
    )
}
