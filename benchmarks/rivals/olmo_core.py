"""OLMo-core's NumpyFSLDataset (with and without document lengths) and NumpyPackedFSLDataset, with its own loader and
collator, in this process. It gives input ids; its trainer shifts them for the targets."""

from collections.abc import Iterator
from typing import Any

from benchmarks.rivals.contender import Stream, Variant
from benchmarks.rivals.corpus import EOT, VOCABULARY, Corpus, T
from benchmarks.rivals.environments import TORCH, Environment

ENVIRONMENT = Environment(name="olmo", requirements=(TORCH, "numpy==2.4.6", "ai2-olmo-core==3.0.0"))


def convert(corpus: Corpus) -> None:
    """It reads the plain file; its own indices are made when it is first opened."""


def opened(corpus: Corpus, B: int, state: Any, packed: bool, document_lengths: bool) -> Stream:
    import torch
    from olmo_core.data import DataCollator, NumpyDataLoaderBase, TokenizerConfig
    from olmo_core.data.numpy_dataset import NumpyFSLDatasetConfig, NumpyPackedFSLDatasetConfig

    torch.set_num_threads(1)
    work = str(corpus.converted("olmo-work"))
    kind: Any = NumpyPackedFSLDatasetConfig if packed else NumpyFSLDatasetConfig
    dataset = kind(
        paths=[str(corpus.tokens_file)],
        sequence_length=T,
        tokenizer=TokenizerConfig(vocab_size=VOCABULARY, eos_token_id=EOT, pad_token_id=EOT),
        work_dir=work,
        generate_doc_lengths=document_lengths,
    ).build()
    dataset.prepare()
    loader = NumpyDataLoaderBase.wrap_numpy_dataset(
        dataset,
        global_batch_size=B * T,
        collator=DataCollator(pad_token_id=EOT),
        work_dir=work,
        num_threads=0,
        num_workers=0,
    )
    if state is not None:
        loader.load_state_dict(state)

    def batches() -> Iterator[Any]:
        while True:
            loader.reshuffle()
            yield from loader
            loader.reset()

    return Stream(batches=batches(), state=loader.state_dict)


VARIANTS = {
    "OLMo-core FSL": Variant(
        produces="input ids int64",
        open=lambda corpus, B, state: opened(corpus, B, state, False, False),
    ),
    "OLMo-core FSL, document lengths": Variant(
        produces="input ids int64, document lengths",
        open=lambda corpus, B, state: opened(corpus, B, state, False, True),
    ),
    "OLMo-core packed (truncates)": Variant(
        produces="input ids int64, label mask, document lengths",
        open=lambda corpus, B, state: opened(corpus, B, state, True, True),
    ),
}
