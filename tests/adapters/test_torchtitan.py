"""torchtitan's own config, checkpoint, mask and loss with our dataloader in the place of its own."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.adapters.documents_of_ids import store_of
from tests.adapters.streams import expected, take

pytest.importorskip("torchtitan", reason="torchtitan is not installed here; `make adapters` has an environment for it")

import torch.distributed.checkpoint as dcp
from torchtitan.components.dataloader import BaseDataLoader
from torchtitan.components.loss import IGNORE_INDEX, cross_entropy_loss
from torchtitan.models.common.attention import get_document_mask_mod

from batchwright.adapters.torchtitan import BatchwrightDataLoader
from batchwright.batches.geometry import BatchGeometry
from batchwright.batches.loader import BatchLoader
from batchwright.foundation.errors import InputError
from batchwright.model.loss import masked_cross_entropy
from batchwright.sequences.index_build import build_index
from batchwright.sequences.plan import Plan
from batchwright.tokens.store import TokenStore

pytestmark = pytest.mark.adapters

T = 16


@pytest.fixture
def store(tmp_path: Path) -> TokenStore:
    lengths = np.random.default_rng(1).integers(1, 40, 60)
    return store_of(tmp_path, [[100 + n, *range(length)][:9] + [7] * int(length) for n, length in enumerate(lengths)])


def built(store: TokenStore, *, rank: int = 0, world: int = 1, local: int = 2, size: int = 8, seed: int = 0) -> Any:
    """As torchtitan's Trainer builds it."""
    config = BatchwrightDataLoader.Config(store=str(store.directory), global_batch_size=size, seed=seed)
    return config.build(
        dp_world_size=world,
        dp_rank=rank,
        tokenizer=None,
        seq_len=T,
        local_batch_size=local,
        snapshot_every_n_steps=None,
    )


def ours(store: TokenStore, *, rank: int = 0, world: int = 1) -> BatchLoader:
    geometry = BatchGeometry(global_batch_size=8, micro_batch_size=2, sequence_length=T, world_size=world)
    return BatchLoader(Plan.of(build_index(store, sequence_length=T), seed=0), geometry, rank=rank)


@pytest.mark.parametrize(("rank", "world"), [(0, 1), (0, 2), (1, 2), (3, 4)])
def test_it_is_a_torchtitan_dataloader_with_our_stream(store: TokenStore, rank: int, world: int) -> None:
    loader = built(store, rank=rank, world=world)
    assert isinstance(loader, BaseDataLoader)
    for (inputs, labels), want in zip(take(loader, 8), expected(ours(store, rank=rank, world=world), 8), strict=False):
        assert np.array_equal(inputs["input"], want["inputs"])
        assert np.array_equal(inputs["positions"], want["position_ids"])
        assert np.array_equal(labels, np.where(want["loss_mask"], want["targets"], IGNORE_INDEX))


def test_a_distributed_checkpoint_goes_on_with_another_world(store: TokenStore, tmp_path: Path) -> None:
    before = built(store)
    take(before, 8)
    dcp.save({"dataloader": before}, checkpoint_id=str(tmp_path / "checkpoint"), no_dist=True)
    for rank in range(2):
        after = built(store, rank=rank, world=2)
        dcp.load({"dataloader": after}, checkpoint_id=str(tmp_path / "checkpoint"), no_dist=True)
        wanted = expected(ours(store, rank=rank, world=2), 4)[4:]
        found = take(after, 4)
        assert all(np.array_equal(item["input"], want["inputs"]) for (item, _), want in zip(found, wanted, strict=True))


def test_its_document_mask_isolates_our_segments(store: TokenStore) -> None:
    inputs, _ = take(built(store), 1)[0]
    positions = inputs["positions"]
    segments = (positions == 0).cumsum(1)
    mask = get_document_mask_mod(positions)
    for b in range(positions.shape[0]):
        for q in range(T):
            seen = [
                bool(mask(torch.tensor(b), torch.tensor(0), torch.tensor(q), torch.tensor(k))) for k in range(q + 1)
            ]
            assert seen == (segments[b, : q + 1] == segments[b, q]).tolist()


def test_its_loss_of_our_labels_is_our_loss(store: TokenStore) -> None:
    _, labels = take(built(store), 1)[0]
    want = expected(ours(store), 1)[0]
    logits = torch.randn(2, T, store.vocabulary_size, generator=torch.Generator().manual_seed(0))
    total, count = masked_cross_entropy(logits, torch.from_numpy(want["targets"]), torch.from_numpy(want["loss_mask"]))
    assert float(cross_entropy_loss(logits, labels)) == pytest.approx(float(total), rel=1e-5)
    assert int((labels != IGNORE_INDEX).sum()) == int(count)


def test_what_cannot_be_exact_is_refused(store: TokenStore) -> None:
    with pytest.raises(InputError, match="not cut evenly"):
        built(store, world=3)
    with pytest.raises(InputError, match="no store"):
        BatchwrightDataLoader.Config().build(dp_world_size=1, dp_rank=0, seq_len=T, local_batch_size=2)
    with pytest.raises(InputError, match="seed"):
        built(store, seed=1).load_state_dict(built(store).state_dict())
