"""One update: micro-batches in, one gradient of the whole global batch, one step of the optimizer.

Guarantee (same batch, same gradient): loss and gradient are those of the whole batch, sum over its target tokens ÷
their global number, however it is cut into micro-batches. The number is known *before* the first backward, because
the sequence index knows every row's targets; so each micro-batch's sum is divided by it and the parts simply add up.
(The classic bug takes the mean of micro-batch means: it over-weighs micro-batches with few targets, and no test with
full rows can see it.)

    loss = Σ_j Σ_tokens −log p / W          W = Σ_j w_j, the step's targets
    gradient = Σ_j ∇(sum_j / W)             what `StepObserver.on_micro_batch` is shown, one j at a time

Price of observers that ask for a step: one more buffer of the gradients' size (4·P bytes); the addition into it
replaces the one autograd would do, bit for bit. Without observers: nothing.
"""

import contextlib
import math
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from batchwright.batches.certificate import combined
from batchwright.batches.empty_step import NoTargetsError
from batchwright.foundation.errors import BatchwrightError, ResourceError
from batchwright.training.hyper_parameters import HyperParameters
from batchwright.training.objective import MicroBatch, Objective, target_count
from batchwright.training.optimizer import make_update, set_hyper_parameters
from batchwright.training.parallel import LocalGradients, OneProcess, Parallel
from batchwright.training.ranks import Ranks
from batchwright.training.slices import whole


class StepBatches(Protocol):
    """The micro-batches of one update, and what is known of them beforehand."""

    @property
    def first_position(self) -> int: ...
    @property
    def sequences(self) -> int: ...
    @property
    def targets(self) -> int: ...
    @property
    def certificate(self) -> int: ...
    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[MicroBatch]: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class StepRecord:
    """What one update did. All but the fields named in `run_log.MEASURED_FIELDS` are the same for every run of the
    recipe on a machine."""

    step: int  # 1 is the first update
    tokens: int  # slots seen up to and with this step
    targets: int  # target tokens of this step
    first_position: int
    sequences: int  # the global batch of this step
    certificate: str  # Σ over rows of a hash of what was eaten, 16 hexadecimal digits
    loss: float  # nats per target token, before the update
    gradient_norm: float  # of the whole batch, before clipping
    learning_rate: float
    seconds: float
    tokens_per_second: float
    mfu: float | None = None  # the model's FLOPs per second ÷ the machine's peak; None: no peak is known
    peak_memory_bytes: int | None = None  # of the process so far on a CPU, of the step in the allocator on CUDA
    betas: tuple[float, float] | None = None  # this and the next two: none where the batch does not change them
    epsilon: float | None = None
    weight_decay: float | None = None


class StepObserver(Protocol):
    """Watches updates without changing them."""

    def wants(self, step: int) -> bool:
        """Whether `on_micro_batch` shall be called in this step."""
        ...

    def on_micro_batch(self, gradients: Mapping[str, Tensor], targets: int, step_targets: int) -> None:
        """`gradients` by parameter: this micro-batch's share ∇(sum_j / W) of the step's gradient, before clipping.

        The gradient g_j of the micro-batch's own mean is `gradients · step_targets / targets`. Read, don't keep: the
        tensors are gone when the call returns.
        """
        ...

    def on_step(self, record: StepRecord) -> None: ...


class DivergedError(BatchwrightError):
    """A loss or a gradient is not a finite number. The weights are still those before the step."""


class OutOfMemoryError(ResourceError):
    """The micro-batch did not fit."""


def train_step(
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    batches: StepBatches,
    *,
    step: int,
    tokens_before: int,
    hyper_parameters: HyperParameters,
    clip_norm: float | None = 1.0,
    parallel: Parallel | None = None,
    observers: Sequence[StepObserver] = (),
) -> StepRecord:
    """Make update number `step`. `parallel` says how the ranks of a run work together; none: this process is alone.

    Raises DivergedError (before anything is changed, on all ranks alike), ResourceError (out of memory).
    """
    begun = time.perf_counter()
    parallel = parallel or OneProcess(objective)
    where = f"step {step}, positions {batches.first_position:,} to {batches.first_position + batches.sequences - 1:,}"
    if batches.targets < 1:
        raise NoTargetsError("no slot of this batch holds a target token, so it has no gradient", where=where)
    optimizer.zero_grad(set_to_none=True)
    watching = [observer for observer in observers if observer.wants(step)]
    loss_sum, length = accumulate_gradient(objective, batches, parallel=parallel, observers=watching, where=where)
    loss_sum, certificate = _over_ranks(parallel.ranks, loss_sum, batches.certificate)
    slots = batches.sequences * length
    mean_loss = loss_sum / batches.targets
    norm = _clip(objective, clip_norm)
    if not (math.isfinite(mean_loss) and math.isfinite(norm)):
        raise DivergedError(
            f"the loss is {mean_loss} and the gradient's norm {norm}",
            where=where,
            remedy="a lower learning rate, a longer warm-up or a smaller clip_norm",
        )
    set_hyper_parameters(optimizer, hyper_parameters)
    make_update(optimizer)
    seconds = time.perf_counter() - begun
    record = StepRecord(
        step=step,
        tokens=tokens_before + slots,
        targets=batches.targets,
        first_position=batches.first_position,
        sequences=batches.sequences,
        certificate=f"{certificate:016x}",
        loss=mean_loss,
        gradient_norm=norm,
        learning_rate=hyper_parameters.learning_rate,
        betas=hyper_parameters.betas,
        epsilon=hyper_parameters.epsilon,
        weight_decay=hyper_parameters.weight_decay,
        seconds=seconds,
        tokens_per_second=slots / seconds,
    )
    for observer in observers:
        observer.on_step(record)
    return record


def accumulate_gradient(
    objective: Objective,
    batches: StepBatches,
    *,
    parallel: Parallel | None = None,
    observers: Sequence[StepObserver] = (),
    where: str | None = None,
) -> tuple[float, int]:
    """Leave the whole batch's gradient in the parameters' `grad`; returns (this rank's loss sum in nats, T)."""
    loss_sum, length, parallel = 0.0, 0, parallel or OneProcess(objective)
    watched = LocalGradients(objective.model) if observers else None
    for number, batch in enumerate(batches, start=1):
        with memory_errors(batch, where), parallel.accumulating(last=number == len(batches), watched=watched):
            total = parallel.loss_sum(objective.tensors_of(batch))
            (total / batches.targets).backward()
            loss_sum += total.item()
        length = batch.inputs.shape[1]
        if watched is not None:
            for observer in observers:
                observer.on_micro_batch(watched.shares(), target_count(batch), batches.targets)
            watched.move()
    if watched is not None:
        watched.put_back()
    return loss_sum, length


def _over_ranks(ranks: Ranks, loss_sum: float, certificate: int) -> tuple[float, int]:
    """Loss sum and certificate of the whole batch; the certificate by halves, which fp64 holds exactly."""
    if ranks.size == 1:
        return loss_sum, certificate
    loss_sum, high, low = ranks.sums((loss_sum, certificate >> 32, certificate & 0xFFFFFFFF))
    return loss_sum, combined([int(high) << 32, int(low)])


def _clip(objective: Objective, clip_norm: float | None) -> float:
    """Scale the gradient down to `clip_norm`; its norm before that."""
    norm = nn.utils.clip_grad_norm_(objective.parameters(), math.inf if clip_norm is None else clip_norm)
    return whole(norm).item()


@contextlib.contextmanager
def memory_errors(batch: MicroBatch, where: str | None = None) -> Generator[None]:
    """Say which geometry did not fit, instead of an allocator's words."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        words = str(error)
        if isinstance(error, RuntimeError) and not ("out of memory" in words or "allocate memory" in words):
            raise
        rows, length = batch.inputs.shape
        raise OutOfMemoryError(
            f"out of memory with a micro-batch of {rows} sequences × {length} tokens",
            where=where,
            remedy=f"micro_batch_size = {max(1, rows // 2)}: the same batch in more parts, the same curve",
        ) from error
