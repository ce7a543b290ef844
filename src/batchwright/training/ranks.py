"""The data-parallel ranks of a run, and the few words they exchange beside gradients: sums, questions, short messages.

    torchrun --nproc-per-node 2 -m batchwright train RECIPE        RANK, WORLD_SIZE … come from torchrun

Guarantee: one process is the trivial case and talks to nobody; every message is numbers or JSON (torch's own object
collectives use pickle, so they are not used); what fails on one rank before the training fails on all of them, with
its own words; what the ranks must agree on is compared and the difference named. Price: a collective of a few bytes
takes 0.1–0.3 ms between two processes of one machine (gloo); a process group, 50–100 ms once.
"""

import contextlib
import json
import os
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, TypeVar

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from batchwright.foundation import errors
from batchwright.foundation.errors import BatchwrightError, InputError
from batchwright.sequences.plan import differing

Device = Literal["cpu", "cuda"]
Result = TypeVar("Result")

# How gloo and NCCL say that the other end is not there any more.
_LOST = (
    "Connection closed by peer",
    "Connection reset",
    "Broken pipe",
    "Connection refused",
    "NCCL communicator was",
    "Timed out waiting",
)


class RankLostError(BatchwrightError):
    """Another rank ended while this one waited for it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Ranks:
    """Which of how many this process is. `Ranks()` is a run on one process."""

    rank: int = 0
    size: int = 1
    device: str = "cpu"  # where this rank's model lives
    group: Any = None  # of the thread that trains
    writing_group: Any = None  # of the thread that writes checkpoints: two threads must not share one

    @property
    def first(self) -> bool:
        """Whether this is the rank that writes and speaks."""
        return self.rank == 0

    def beside(self) -> "Ranks":
        """The same ranks, for another thread."""
        return Ranks(rank=self.rank, size=self.size, device=self.device, group=self.writing_group)

    def sums(self, values: Sequence[float]) -> list[float]:
        """Each number summed over the ranks, in fp64."""
        if self.size == 1:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(tensor, group=self.group)
        return tensor.tolist()

    def any(self, asked: bool) -> bool:
        """Whether any rank says yes."""
        return asked if self.size == 1 else self.sums([float(asked)])[0] > 0

    def wait(self) -> None:
        """Until every rank is here."""
        self.any(False)

    def gather(self, value: Any) -> list[Any]:
        """What every rank says, a JSON value each, in the order of ranks."""
        if self.size == 1:
            return [value]
        content = json.dumps(value).encode()
        sizes = [0.0] * self.size
        sizes[self.rank] = len(content)
        sizes = [int(size) for size in self.sums(sizes)]
        mine = torch.zeros(max(sizes), dtype=torch.uint8)
        mine[: len(content)] = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        all_of_them = [torch.empty_like(mine) for _ in sizes]
        dist.all_gather(all_of_them, mine, group=self.group)
        return [json.loads(bytes(t[:size].tolist())) for t, size in zip(all_of_them, sizes, strict=True)]

    def together(self, act: Callable[[], Result]) -> Result:
        """Do something on every rank; where it fails on one, it fails on all. Only before there is a step to lose."""
        if self.size == 1:
            return act()
        failure: BatchwrightError | None = None
        result: list[Result] = []
        try:
            result.append(act())
        except BatchwrightError as error:
            failure = error
        said = self.gather(None if failure is None else _in_words(failure))
        if failure is not None:
            raise failure
        for rank, words in enumerate(said):
            if words is not None:
                raise _from_words(words).within(f"rank {rank}")
        return result[0]

    def check_alike(self, facts: Mapping[str, Any]) -> None:
        """Raises InputError on every rank when these JSON values are not the same on all, naming what differs."""
        said = self.gather(facts)
        for rank, theirs in enumerate(said):
            different = list(differing(theirs, said[0]))
            if different:
                raise InputError(
                    f"rank {rank} and rank 0 do not train the same thing: " + "; ".join(different),
                    remedy="start every rank with the same recipe, store, settings and version",
                )


@contextlib.contextmanager
def started_ranks(device: Device = "cpu") -> Generator[Ranks]:
    """The ranks that torchrun started, joined into groups; without torchrun, or of one process, `Ranks()`.

    Gradients go by gloo between CPUs and by NCCL between GPUs (not run on a GPU yet); messages always by gloo.
    """
    size, local = _told_size(), int(os.environ.get("LOCAL_RANK", "0"))
    if device == "cuda":
        if not torch.cuda.is_available():
            raise InputError("this machine has no GPU that torch can use", remedy='device = "cpu"')
        torch.cuda.set_device(local)
    place = f"cuda:{local}" if device == "cuda" else "cpu"
    if size == 1:
        yield Ranks(device=place)
        return
    with lost_ranks_named():
        _join("cpu:gloo,cuda:nccl" if device == "cuda" else "gloo")
        try:
            ranks = Ranks(
                rank=dist.get_rank(),
                size=size,
                device=place,
                group=dist.new_group(backend="gloo"),
                writing_group=dist.new_group(backend="gloo"),
            )
            yield ranks
            # Whoever leaves early would cut off those who still read from it.
            ranks.wait()
        finally:
            dist.destroy_process_group()


def _told_size() -> int:
    """WORLD_SIZE; without it 1. Raises InputError where the environment tells half of it: waiting for ranks that nobody
    started takes half an hour, and training alone what was meant for many is found out later still."""
    told = {name: os.environ.get(name, "") for name in ("WORLD_SIZE", "RANK", "MASTER_ADDR", "MASTER_PORT")}
    size, rank = told["WORLD_SIZE"] or "1", told["RANK"] or "0"
    sound = size.isdecimal() and rank.isdecimal() and int(rank) < int(size)
    if not sound or (size != "1" and not all(told.values())):
        raise InputError(
            "the environment does not say which rank of how many this process is: "
            + ", ".join(f"{name}={value}" if value else f"no {name}" for name, value in told.items()),
            remedy="start the ranks by torchrun --nproc-per-node N -m batchwright …, or unset WORLD_SIZE and RANK",
        )
    return int(size)


def _join(backend: str) -> None:
    """`init_process_group`, in a store of this attempt's own: under torchrun's `--rdzv-backend c10d` one store outlives
    a restart, and the addresses of the ranks that died stand in it (torch 2.13)."""
    store, rank, size = next(iter(rendezvous("env://")))
    store.set_timeout(timedelta(minutes=30))
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    dist.init_process_group(backend, store=PrefixStore(f"attempt-{attempt}", store), rank=rank, world_size=size)


@contextlib.contextmanager
def lost_ranks_named() -> Generator[None]:
    """The backend's words for a rank that died become ours."""
    try:
        yield
    except BatchwrightError:
        raise
    except RuntimeError as error:
        if not any(words in str(error) for words in _LOST):
            raise
        raise RankLostError(
            "another rank ended while this one waited for it",
            remedy="its own message says why; with torchrun --max-restarts 3 the run goes on from its last checkpoint",
        ) from error


def _in_words(error: BatchwrightError) -> dict[str, str | None]:
    return {"kind": type(error).__name__, "what": error.what, "where": error.where, "remedy": error.remedy}


def _from_words(words: Mapping[str, str | None]) -> BatchwrightError:
    kind = getattr(errors, str(words["kind"]), BatchwrightError)
    return kind(str(words["what"]), where=words["where"], remedy=words["remedy"])
