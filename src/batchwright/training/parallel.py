"""How the gradients of many ranks become the one of the whole batch: one process, DDP, or FSDP2.

Guarantee: the gradient is the *sum* over ranks of each rank's sum, divided by the global number of targets, never a
mean of means (DDP and FSDP would average; both are told not to); ranks exchange gradients once per step, after its
last micro-batch; a run continued with as many ranks in the same form goes on bit for bit. Price, per rank of w, for P
weights of 4 bytes:

    OneProcess    nothing
    Replicas      DDP: every rank holds all weights, gradients and moments; 4·P bytes more for its buckets;
                  2·(w−1)/w·4·P bytes sent per step, while the backward still runs
    Shards        FSDP2: weights and moments 1/w each, gradients whole (4·P) while micro-batches accumulate;
                  weights travel once per forward and once per backward, gradients once per step
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from typing import Any, Protocol

import torch
import torch.distributed as dist
import xxhash
from torch import Tensor, nn

from batchwright.foundation.errors import InputError
from batchwright.model.protocol import blocks_of, device_of
from batchwright.training.config import ParallelForm
from batchwright.training.objective import MicroBatchTensors, Objective
from batchwright.training.ranks import Ranks


class LocalGradients:
    """A step's gradient in the making, while somebody looks at each micro-batch's own share of it.

    The addition of the shares replaces the one autograd would do, in its order and rounding.
    """

    def __init__(self, model: nn.Module) -> None:
        self._parameters = dict(model.named_parameters())
        self._names: dict[Tensor, str] = {parameter: name for name, parameter in self._parameters.items()}
        self._whole: dict[str, Tensor] = {}
        self._reduced: dict[str, Tensor] = {}

    def before_reduction(self, parameter: Tensor, gradient: Tensor) -> None:
        """Keep the last micro-batch's share, and make what the other ranks are sent whole."""
        name = self._names[parameter]
        self._reduced[name] = gradient.clone()
        if name in self._whole:
            gradient.add_(self._whole[name])

    def shares(self) -> Mapping[str, Tensor]:
        """By parameter, of the micro-batch whose backward has just ended."""
        if self._reduced:
            return self._reduced
        return {name: p.grad for name, p in self._parameters.items() if p.grad is not None}

    def move(self) -> None:
        """Make room for the next micro-batch's."""
        if self._reduced:
            return  # it was the last one, and the sum of all ranks is in place
        for name, gradient in self.shares().items():
            if name in self._whole:
                self._whole[name].add_(gradient)
            else:
                self._whole[name] = gradient
        for parameter in self._parameters.values():
            parameter.grad = None

    def put_back(self) -> None:
        """Leave the whole gradient where the optimizer looks for it."""
        if not self._reduced:
            for name, gradient in self._whole.items():
                self._parameters[name].grad = gradient


class Parallel(Protocol):
    """What a step needs to know of how its ranks work together."""

    @property
    def objective(self) -> Objective: ...
    @property
    def ranks(self) -> Ranks: ...

    def loss_sum(self, tensors: MicroBatchTensors) -> Tensor:
        """Σ −log p of one micro-batch."""
        ...

    def accumulating(
        self, *, last: bool, watched: LocalGradients | None = None
    ) -> contextlib.AbstractContextManager[None]:
        """Around forward and backward of a micro-batch. After the last one the gradients are those of all ranks."""
        ...

    def rest(self) -> None:
        """After forwards without a backward: the model's parameters are those again that the optimizer knows."""
        ...


class OneProcess:
    """A run that is alone."""

    def __init__(self, objective: Objective) -> None:
        self.objective, self.ranks = objective, Ranks()

    def loss_sum(self, tensors: MicroBatchTensors) -> Tensor:
        return self.objective(*tensors)

    def accumulating(
        self, *, last: bool, watched: LocalGradients | None = None
    ) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def rest(self) -> None:
        return None


class Replicas:
    """DDP: a copy of the model on every rank."""

    def __init__(self, objective: Objective, ranks: Ranks) -> None:
        self.objective, self.ranks = objective, ranks
        self._watched: LocalGradients | None = None
        self._named = {name: p for name, p in objective.model.named_parameters() if p.requires_grad}
        self._summed = 0
        # Weights are equal already (checked) and buffers are constants: there is nothing to send.
        self._module = nn.parallel.DistributedDataParallel(
            objective, init_sync=False, **_no_buffers(nn.parallel.DistributedDataParallel)
        )
        self._module.register_comm_hook(None, self._sum)
        self._settle_buckets()

    def loss_sum(self, tensors: MicroBatchTensors) -> Tensor:
        return self._module(*tensors)

    @contextlib.contextmanager
    def accumulating(self, *, last: bool, watched: LocalGradients | None = None) -> Generator[None]:
        self._watched, self._summed = watched, 0
        try:
            with contextlib.nullcontext() if last else self._module.no_sync():
                yield
        finally:
            self._watched = None
        if last:
            self._check_summed()

    def rest(self) -> None:
        return None

    def _sum(self, state: object, bucket: dist.GradBucket) -> torch.futures.Future[Tensor]:  # pyright: ignore[reportPrivateImportUsage]
        """In place of DDP's mean."""
        self._summed += len(bucket.parameters())
        if self._watched is not None:
            for parameter, gradient in zip(bucket.parameters(), bucket.gradients(), strict=True):
                self._watched.before_reduction(parameter, gradient)
        work = dist.all_reduce(bucket.buffer(), async_op=True)
        assert work is not None
        return work.get_future().then(_first_value)

    def _check_summed(self) -> None:
        """DDP leaves out, without a word, each bucket of which one parameter got no gradient, and complains a step
        later: too late for the update and the checkpoint between. Raises InputError."""
        if self._summed == len(self._named):
            return
        missing = [name for name, parameter in self._named.items() if parameter.grad is None]
        raise InputError(
            f"the last micro-batch gave no gradient to {', '.join(missing) or 'some parameters'}, and DDP adds up only "
            "what every parameter takes part in",
            remedy="leave such parameters out of the model, set requires_grad = False, or use them in every forward",
        )

    def _settle_buckets(self) -> None:
        """DDP lays its buckets anew after the first backward, and their bounds say in which order more than two ranks'
        numbers are added. So that happens here, and a run that is taken up again adds as the one before it did."""
        device = device_of(self.objective.model)
        nothing = torch.zeros((1, 2), dtype=torch.int64, device=device)
        lengths = [2] if self.objective.isolate else None
        with self.accumulating(last=True):
            self.loss_sum((nothing, nothing, nothing.bool(), nothing.int(), lengths)).backward()
        self.objective.zero_grad(set_to_none=True)


class Shards:
    """FSDP2 (`fully_shard`): every rank holds a slice of each weight, of its gradient and its moments."""

    def __init__(self, objective: Objective, ranks: Ranks) -> None:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import FSDPModule, fully_shard

        self.objective, self.ranks = objective, ranks
        _refuse_scalars(objective.model)
        mesh = init_device_mesh(torch.device(ranks.device).type, (ranks.size,))
        for block in _blocks_of_their_own(objective.model):
            fully_shard(block, mesh=mesh)
        self._module = fully_shard(objective, mesh=mesh)
        for module in objective.modules():
            if isinstance(module, FSDPModule):
                module.set_gradient_divide_factor(1.0)
                module.set_force_sum_reduction_for_comms(True)

    def loss_sum(self, tensors: MicroBatchTensors) -> Tensor:
        return self.objective(*tensors)

    @contextlib.contextmanager
    def accumulating(self, *, last: bool, watched: LocalGradients | None = None) -> Generator[None]:
        if watched is not None:
            raise InputError(
                "FSDP holds slices of gradients, and an observer asks for each micro-batch's own",
                remedy='parallel = "ddp" while the noise is measured',
            )
        self._module.set_requires_gradient_sync(last)
        yield

    def rest(self) -> None:
        # The outermost module keeps its weights whole after a forward, for the backward that usually follows.
        self._module.reshard()


def parallel_of(objective: Objective, form: ParallelForm, ranks: Ranks) -> Parallel:
    """The objective on these ranks. Raises InputError when they do not begin with the same weights."""
    if ranks.size == 1:
        return OneProcess(objective)
    ranks.check_alike({"weights": _hash_of(objective)})
    return Replicas(objective, ranks) if form == "ddp" else Shards(objective, ranks)


def _refuse_scalars(model: nn.Module) -> None:
    scalars = [name for name, parameter in model.named_parameters() if not parameter.ndim]
    if scalars:
        raise InputError(
            f"{', '.join(scalars)}: FSDP slices a parameter by its rows, and a single number has none",
            remedy='a vector of one number instead, or parallel = "ddp"',
        )


def _blocks_of_their_own(model: nn.Module) -> list[nn.Module]:
    """The blocks none of whose parameters stands elsewhere in the model, too: slicing one place would untie it from
    the other, so tied ones stay with the whole."""
    anywhere = _uses(model)
    return [block for block in blocks_of(model) if all(anywhere[p] == uses for p, uses in _uses(block).items())]


def _uses(module: nn.Module) -> Counter[Tensor]:
    """How many places of a module each of its parameters stands in."""
    return Counter(parameter for _, parameter in module.named_parameters(remove_duplicate=False))


def _hash_of(module: nn.Module) -> str:
    digest = xxhash.xxh3_128()
    for parameter in module.parameters():
        digest.update(parameter.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _no_buffers(kind: Callable[..., Any]) -> dict[str, Any]:
    """The argument that keeps DDP from sending buffers, whose name depends on the version of torch."""
    import inspect

    new = "forward_sync_buffers"
    return {new if new in inspect.signature(kind).parameters else "broadcast_buffers": False}


def _first_value(future: torch.futures.Future[Any]) -> Tensor:
    return future.value()[0]
