"""megatron-core itself reads what we export, and we read what it builds."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.adapters.documents_of_ids import EOT, VOCABULARIES, held, store_of

pytest.importorskip("megatron.core", reason="megatron-core is not installed here; `make adapters` has an environment")

from megatron.core.datasets.gpt_dataset import GPTDataset, GPTDatasetConfig
from megatron.core.datasets.indexed_dataset import IndexedDataset, IndexedDatasetBuilder
from megatron.core.datasets.utils import Split

from batchwright.adapters.exporting import export_store
from batchwright.adapters.importing import import_store
from batchwright.tokens.store import TokenStore

pytestmark = pytest.mark.adapters


class SomeTokenizer:
    """What GPTDataset asks a tokenizer for."""

    def __init__(self, vocabulary_size: int) -> None:
        self.vocab_size, self.eod, self.pad = vocabulary_size, EOT, -1
        self.unique_identifiers = {"class": "SomeTokenizer", "vocabulary_size": vocabulary_size}


def drawn(vocabulary_size: int, count: int = 300) -> list[list[int]]:
    random = np.random.default_rng(vocabulary_size)
    lengths = random.lognormal(3, 1, count).astype(int) + 1
    return [(random.integers(EOT + 1, vocabulary_size, length)).tolist() for length in lengths]


@pytest.fixture(params=VOCABULARIES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> TokenStore:
    size = request.param
    return store_of(tmp_path / "made", drawn(size), size, validation=drawn(size, 5), shard_tokens=2000)


def test_indexed_dataset_holds_the_same_documents(store: TokenStore, tmp_path: Path) -> None:
    export_store(store, tmp_path / "out", to="megatron")
    for split in ("train", "validation"):
        for mmap in (True, False):
            read = IndexedDataset(str(tmp_path / "out" / split), mmap=mmap)
            assert [sequence.tolist() for sequence in read[:]] == held(store, split)
            assert read.document_indices.tolist() == list(range(len(read) + 1))


def test_gpt_dataset_gives_the_same_documents(store: TokenStore, tmp_path: Path) -> None:
    """Its samples, laid in their order before shuffling, are the documents in the order of its document index."""
    prefix = str(export_store(store, tmp_path / "out", to="megatron").directory / "train")
    config: Any = GPTDatasetConfig(
        random_seed=5,
        sequence_length=64,
        tokenizer=SomeTokenizer(store.vocabulary_size),
        reset_position_ids=False,
        reset_attention_mask=False,
        eod_mask_loss=False,
        split="1",
        path_to_cache=str(tmp_path / "cache"),
    )
    low = IndexedDataset(prefix)
    data = GPTDataset(low, prefix, np.arange(len(low), dtype=np.int32), None, Split.train, config)
    wanted = held(store)
    assert sorted(data.document_index.tolist()) == list(range(len(wanted)))
    stream = np.concatenate([wanted[number] for number in data.document_index.tolist()])
    placed = np.empty(len(data), np.int64)
    placed[np.arange(len(data))] = data.shuffle_index[: len(data)]
    assert len(data) == (len(stream) - 1) // 64
    for sample, place in enumerate(placed.tolist()):
        item = data[sample]
        assert torch.equal(item["tokens"], torch.from_numpy(stream[64 * place : 64 * place + 64].astype(np.int64)))
        assert torch.equal(item["labels"], torch.from_numpy(stream[64 * place + 1 : 64 * place + 65].astype(np.int64)))
        assert bool(item["loss_mask"].all())


@pytest.mark.parametrize(
    ("size", "dtype"),
    [(60_000, np.uint16), (60_000, np.int32), (60_000, np.int64), (70_000, np.int32), (70_000, np.int64)],
)
def test_what_its_builder_writes_is_imported(tmp_path: Path, size: int, dtype: Any) -> None:
    """Documents of several sequences, with and without <endoftext>, some empty."""
    given = drawn(size, 40)
    builder = IndexedDatasetBuilder(str(tmp_path / "it.bin"), dtype=dtype)
    for number, ids in enumerate(given):
        closed = [*ids, EOT] if number % 2 else ids
        half = len(closed) // 2
        builder.add_document(torch.tensor(closed), [half, len(closed) - half])
        if number % 10 == 0:
            builder.add_document(torch.tensor([], dtype=torch.int64), [0])
    builder.finalize(str(tmp_path / "it.idx"))
    store = import_store([str(tmp_path / "it")], tmp_path / "store", form="megatron", vocabulary_size=size, eot_id=EOT)
    assert held(store) == [[*ids, EOT] for ids in given]
    assert store.manifest.tally["dropped"] == {"empty": {"documents": 4, "bytes": 0}}
    assert store.manifest.tally["edited"] == {"closed": {"documents": 20, "bytes": 0}}
