"""A loader's micro-batches for torch: an iterable dataset, and a `DataLoader` whose state is a position.

    data = ExactDataLoader(MicroBatches(BatchLoader(plan, geometry, rank=r)), pin_memory=True)
    for batch in data: …                                   dicts of (B, T) tensors
    state = data.state_dict(); data.load_state_dict(state)  below 1 KB, the same on every rank

Guarantee: the same micro-batches in the same order, whatever `num_workers`; resumed with another number of workers the
next one is still the next one. Price: ~3 ns per slot without workers, half of it fresh memory. Workers are seldom
worth it: torch carries every batch from one process to another, and each worker builds all micro-batches to keep its
own. Read ahead with one worker where a disk is slow.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any, cast

import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from batchwright.adapters.places import Places
from batchwright.adapters.rows import RankBatches, Rows, stack_rows
from batchwright.batches.batch import Batch
from batchwright.batches.step import Step
from batchwright.foundation.errors import InputError

Tensors = dict[str, Any]
_ENDLESS = 2**62


class MicroBatches(Places, IterableDataset[Tensors]):
    """This rank's micro-batches from a place on, each in memory of its own."""

    def __iter__(self) -> Iterator[Tensors]:
        """Worker w of n gives every n-th micro-batch, so that torch, which asks them in turn, has them in order."""
        worker = get_worker_info()
        share, number_of = (worker.id, worker.num_workers) if worker is not None else (0, 1)
        current: Step | None = None
        batches: Iterator[Batch] = iter(())
        for count, (step, number, _) in enumerate(self.ahead()):
            if step is not current:
                current, batches = step, islice(step, number, None)
            batch = next(batches)
            if count % number_of == share:
                yield tensors_of(batch, step)


def tensors_of(batch: Batch, step: Step) -> Tensors:
    """A batch with memory of its own as tensors, without a copy.

    inputs, targets (B, T) int64; loss_mask (B, T) bool; position_ids (B, T) int32; cu_seqlens (segments + 1,) int32;
    max_seqlen; targets_of_step: of the global batch, over all ranks: divide the summed loss by it.
    """
    return {
        "inputs": torch.from_numpy(batch.inputs),
        "targets": torch.from_numpy(batch.targets),
        "loss_mask": torch.from_numpy(batch.loss_mask),
        "position_ids": torch.from_numpy(batch.position_ids),
        "cu_seqlens": torch.from_numpy(batch.segment_ends),
        "max_seqlen": batch.max_seqlen,
        "positions": torch.from_numpy(batch.positions),
        "targets_of_step": step.targets,
    }


class Counted:
    """A DataLoader that knows what it has handed out. Mixed into torch's and torchdata's."""

    _places: Places

    def __iter__(self) -> Iterator[Any]:
        """Items from the place on; the place moves with every item given."""
        ahead = self._places.ahead()
        items = iter(cast("Any", super()).__iter__())
        for _, _, after in ahead:
            item = next(items, None)
            if item is None:
                return
            self._places.place = after
            yield item

    def state_dict(self) -> dict[str, Any]:
        """The place after the last item handed out, as JSON."""
        return self._places.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state, whatever the number of workers it was saved with. Raises InputError (another plan)."""
        self._places.load_state_dict(state_dict)


def options_for(source: MicroBatches | RankBatches, options: dict[str, Any]) -> dict[str, Any]:
    """The DataLoader arguments that a source decides, added to those given. Raises InputError."""
    decided = {"dataset", "batch_size", "shuffle", "sampler", "batch_sampler", "drop_last"} & options.keys()
    if decided:
        raise InputError(f"{sorted(decided)[0]} is not free: the loader decides which rows a batch holds")
    if options.get("persistent_workers"):
        raise InputError(
            "persistent workers would begin again where they began before", remedy="persistent_workers=False"
        )
    if options.get("num_workers", 0):
        # A loader holds memory maps and compiled loops, which a child process inherits and a pickle cannot carry.
        options = {"multiprocessing_context": "fork", **options}
    if isinstance(source, MicroBatches):
        return {"dataset": source, "batch_size": None, **options}
    rows = Rows(source.loader.plan, length=_ENDLESS)
    return {"dataset": rows, "batch_sampler": source, "collate_fn": stack_rows, **options}


class ExactDataLoader(Counted, DataLoader[Any]):
    """torch's DataLoader over `MicroBatches` (dicts of tensors) or over `RankBatches` (stacked `Row`s). Other arguments
    as torch takes them."""

    def __init__(self, source: MicroBatches | RankBatches, **options: Any) -> None:
        self._places = source
        super().__init__(**options_for(source, options))
