"""torchtitan's dataloader, exact: `BatchwrightDataLoader.Config(store=…)` in the place of its own.

It yields ({"input": (B, T), "positions": (B, T)}, labels (B, T)), labels shifted already and -100 where masked, as
torchtitan's losses expect; its flex and varlen attention isolate documents where `positions` restart.

Guarantee: rank r of w gets the micro-batches of `BatchLoader`; the state is a position, the same on every rank, so a
checkpoint goes on under another data-parallel degree at a step's edge, where torchtitan's own loader refuses. The
global batch must be what the trainer accumulates: `training.global_batch_size`. Price: that of `micro_batches`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torchtitan.components.dataloader import BaseDataLoader  # pyright: ignore[reportMissingImports]

from batchwright.adapters.hugging_face import IGNORED
from batchwright.adapters.micro_batches import Counted, MicroBatches
from batchwright.batches.geometry import BatchGeometry
from batchwright.batches.loader import BatchLoader
from batchwright.foundation.errors import InputError
from batchwright.sequences.index_build import build_index
from batchwright.sequences.packing import BestFit
from batchwright.sequences.plan import Plan
from batchwright.tokens.store import TokenStore


class _Stream:
    """The innermost iterable, which `Counted` counts."""

    _micro_batches: MicroBatches

    def __iter__(self) -> Iterator[tuple[dict[str, torch.Tensor], torch.Tensor]]:
        for batch in self._micro_batches:
            labels = batch["targets"].masked_fill(~batch["loss_mask"], IGNORED)
            yield {"input": batch["inputs"], "positions": batch["position_ids"].long()}, labels


class BatchwrightDataLoader(Counted, _Stream, BaseDataLoader):
    """A data-parallel rank's micro-batches."""

    @dataclass(kw_only=True, slots=True)
    class Config(BaseDataLoader.Config):
        """What to read."""

        store: str = ""
        """Directory of a token store."""

        split: str = "train"
        """train or validation."""

        seed: int = 0
        """Names the order of the rows and the packing."""

        global_batch_size: int = -1
        """Sequences per update over all ranks; -1: one micro-batch per rank, as torchtitan reads it."""

    def __init__(
        self, config: Config, *, dp_world_size: int, dp_rank: int, seq_len: int, local_batch_size: int, **_: Any
    ) -> None:
        if not config.store:
            raise InputError("the dataloader has no store", remedy="Config(store=DIRECTORY)")
        index = build_index(
            TokenStore.open(Path(config.store)),
            sequence_length=seq_len,
            split=config.split,
            packing=BestFit(),
            seed=config.seed,
        )
        size = local_batch_size * dp_world_size if config.global_batch_size == -1 else config.global_batch_size
        if size % (local_batch_size * dp_world_size):
            raise InputError(
                f"a global batch of {size} sequences is not cut evenly by {dp_world_size} ranks × micro-batches of "
                f"{local_batch_size}, and torchtitan accumulates whole ones",
                remedy=f"a multiple of {local_batch_size * dp_world_size}",
            )
        geometry = BatchGeometry(
            global_batch_size=size,
            micro_batch_size=local_batch_size,
            sequence_length=seq_len,
            world_size=dp_world_size,
        )
        loader = BatchLoader(Plan.of(index, seed=config.seed), geometry, rank=dp_rank, certify=False)
        self._micro_batches = self._places = MicroBatches(loader)
