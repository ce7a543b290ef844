"""What one real training step of a model, ours or a foreign one, holds in memory: `train_step` itself, run under a
`MemoryTrace`, by phase and part.

Guarantee: the code that is traced is the code that trains. The second of two steps is read, when the optimizer's state
exists. The parts have the names of `planning.memory.PARTS`, so closed form and trace stand side by side. Price: two
steps on real tensors; with `fake=True` nothing is allocated and a 124 M model takes about a second (numbers that the
step reads back from a tensor, such as the loss, are then answered with 1: no byte depends on them). A foreign model is
built with its weights first, also for fake tensors, since its own code does that; one that looks into its tensors
cannot be followed on fake ones, and is refused with what it did.
"""

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from batchwright.foundation.errors import BatchwrightError, InputError
from batchwright.measuring.memory_trace import EXISTING, Allocation, MemoryReport, MemoryTrace
from batchwright.measuring.synthetic import SyntheticStep, synthetic_step
from batchwright.model.config import ModelConfig
from batchwright.model.description import ModelDescription
from batchwright.model.execution import PLAIN, Execution
from batchwright.model.prepared import prepare
from batchwright.model.protocol import HiddenModel, build_model
from batchwright.model.transformer import Transformer
from batchwright.planning.memory import PARTS, StepMemory
from batchwright.planning.moments import Moment
from batchwright.training.config import LossForm, TrainingConfig
from batchwright.training.hyper_parameters import HyperParameters
from batchwright.training.objective import Objective
from batchwright.training.optimizer import build_optimizer
from batchwright.training.step import StepObserver, StepRecord, train_step

_MASK_OPERATIONS = tuple(f"aten.{name}" for name in ("zeros", "eq", "bitwise_and", "bitwise_not", "ones", "tril"))


def trace_step(
    model_config: ModelDescription,
    *,
    micro_batch_size: int,
    sequence_length: int | None = None,
    micro_batches: int = 1,
    observed: bool = False,
    isolate: bool = True,
    loss: LossForm = "chunked",
    execution: Execution = PLAIN,
    optimizer: str = "adamw",
    momentum: float = 0.9,
    dtype: torch.dtype = torch.float32,
    fake: bool = False,
) -> MemoryReport:
    """The peak of one step in steady state, what was alive at it, and the peak of every phase.

    A compiled step cannot be traced: what the compiler makes is not seen operation by operation.
    """
    if execution.compile:
        raise InputError("a compiled step cannot be traced", remedy="compile = false: an upper bound, usually")
    length = model_config.sequence_length if sequence_length is None else sequence_length
    step = synthetic_step(
        vocabulary_size=model_config.vocabulary_size,
        micro_batch_size=micro_batch_size,
        sequence_length=length,
        micro_batches=micro_batches,
    )
    config = TrainingConfig(
        global_batch_size=step.sequences,
        micro_batch_size=micro_batch_size,
        sequence_length=length,
        tokens=2 * step.sequences * length,
        learning_rate=1e-4,
        optimizer=optimizer,
        momentum=momentum,
    )
    observers: list[StepObserver] = [_Watcher()] if observed else []
    model = _built(model_config, dtype, fake=fake)
    foreign = not isinstance(model, Transformer)
    with _followed(foreign) if fake else contextlib.nullcontext():
        model = _with_empty_weights(model) if fake else model
        prepare(model, execution)
        updates = build_optimizer(model, config)
        trace = _StepTrace(fake=fake)
        objective = Objective(model, isolate=isolate, loss=loss)
        with trace, _phases(objective, updates, trace):
            trace.label([*model.parameters(), *model.buffers()], "weights")
            _traced(objective, updates, step, trace, number=1, observers=observers)
            updates.zero_grad(set_to_none=True)
            start = trace.mark
            _traced(objective, updates, step, trace, number=2, observers=observers)
    return trace.report(since=start, part_of=part_rule(model, model_config.vocabulary_size, length))


def traced_memory(
    model_config: ModelDescription,
    *,
    micro_batch_size: int,
    sequence_length: int,
    accumulates: bool = False,
    isolate: bool = True,
    loss: LossForm = "chunked",
    execution: Execution = PLAIN,
    optimizer: str = "adamw",
    momentum: float = 0.9,
) -> StepMemory:
    """What `planning.memory.step_memory` would say, of any shape, execution and optimizer: a trace on fake
    tensors, two steps of seconds for a large model. Of the phases beside the peak's only the sum is known."""
    report = trace_step(
        model_config,
        micro_batch_size=micro_batch_size,
        sequence_length=sequence_length,
        micro_batches=2 if accumulates else 1,
        isolate=isolate,
        loss=loss,
        execution=execution,
        optimizer=optimizer,
        momentum=momentum,
        fake=True,
    )
    peak = Moment(name="traced", phase=report.peak_phase, parts={part: report.parts.get(part, 0) for part in PARTS})
    others = (
        Moment(name="traced", phase=phase, parts={"all": size})
        for phase, size in report.phase_peaks.items()
        if phase != report.peak_phase
    )
    return StepMemory(
        model=model_config,
        micro_batch_size=micro_batch_size,
        sequence_length=sequence_length,
        isolate=isolate,
        loss=loss,
        accumulates=accumulates,
        item_bytes=4,
        moments=(peak, *others),
        source="trace of the real step on fake tensors",
    )


def part_rule(model: nn.Module, vocabulary: int, length: int) -> Callable[[Allocation], str]:
    """Names the part of a storage that nobody labelled, by phase, shape and dtype.

    Where B·T happens to equal V or 3·D a gradient and an activation may be confused: the total is never affected.
    """
    weight_shapes = {tuple(parameter.shape) for parameter in model.parameters() if parameter.ndim > 1}

    def part(allocation: Allocation) -> str:
        shape = allocation.shape
        if allocation.part:
            return allocation.part
        if shape in weight_shapes and allocation.phase in ("loss", "backward"):
            return "gradients"
        if shape[-2:] == (length, length) and allocation.operation in _MASK_OPERATIONS:
            return "attention_mask"
        if allocation.operation == EXISTING or allocation.dtype in ("int64", "int32", "bool"):
            return "batch"
        if allocation.phase == "loss" and shape[-1:] in ((vocabulary,), ()):
            return "logits_and_loss"
        return "activations"

    return part


def _built(description: ModelDescription, dtype: torch.dtype, *, fake: bool) -> nn.Module:
    """The module; ours without storage where that is not needed (a module can neither be initialised nor cast under
    fake tensors)."""
    if not isinstance(description, ModelConfig):
        return build_model(description, seed=0, dtype=dtype, read=False)
    with torch.device("meta") if fake else contextlib.nullcontext():
        return Transformer(description, seed=0, dtype=dtype)


@contextlib.contextmanager
def _followed(foreign: bool):
    """Fake tensors. Raises InputError where a foreign model's code cannot be run on them."""
    try:
        with FakeTensorMode(allow_non_fake_inputs=True):
            yield
    except BatchwrightError:
        raise
    except Exception as error:
        if not foreign:
            raise
        words = str(error).strip().splitlines() or [""]
        raise InputError(
            f"this model's own code cannot be followed without computing: {type(error).__name__}: {words[0]}",
            remedy="batchwright measure memory RECIPE, which runs its real step",
        ) from error


def _with_empty_weights(model: nn.Module) -> nn.Module:
    """Puts (fake) CPU tensors where the module's own are; what is tied stays tied."""
    made: dict[torch.nn.Parameter, torch.nn.Parameter] = {}
    for module in model.modules():
        for name, value in module._parameters.items():
            if value is not None:
                if value not in made:
                    empty = torch.empty(value.shape, dtype=value.dtype)
                    made[value] = torch.nn.Parameter(empty, requires_grad=value.requires_grad)
                module._parameters[name] = made[value]
        for name, value in module._buffers.items():
            if value is not None:
                module._buffers[name] = torch.empty(value.shape, dtype=value.dtype)
    return model


def _traced(
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    step: SyntheticStep,
    trace: MemoryTrace,
    *,
    number: int,
    observers: list[StepObserver],
) -> None:
    train_step(
        objective,
        optimizer,
        step,
        step=number,
        tokens_before=0,
        hyper_parameters=HyperParameters(learning_rate=1e-4),
        observers=observers,
    )
    trace.label((p.grad for p in objective.parameters() if p.grad is not None), "gradients")
    state = (value for values in optimizer.state.values() for value in values.values())
    trace.label((value for value in state if isinstance(value, torch.Tensor)), "optimizer")


@contextlib.contextmanager
def _phases(objective: Objective, optimizer: torch.optim.Optimizer, trace: MemoryTrace):
    """Phase boundaries from hooks, so that the step needs to know nothing of being watched. Of a foreign model the loss
    begins where its `hidden` or its scores are there."""

    def loss_begins(hidden: torch.Tensor) -> torch.Tensor:
        trace.enter_phase("loss")
        if hidden.requires_grad:
            hidden.register_hook(lambda gradient: trace.enter_phase("backward"))
        return hidden

    def after_final_norm(module: Any, inputs: Any, hidden: torch.Tensor) -> None:
        loss_begins(hidden)

    model: Any = objective.model
    if isinstance(model, Transformer):
        watched = [model.final_norm.register_forward_hook(after_final_norm)]
    else:
        watched = []
        name = "hidden" if objective.loss == "chunked" and isinstance(model, HiddenModel) else "forward"
        entry = getattr(model, name)
        setattr(model, name, lambda *args, **given: loss_begins(entry(*args, **given)))
    hooks = [
        *watched,
        objective.register_forward_pre_hook(lambda module, inputs: trace.enter_phase("forward")),
        optimizer.register_step_pre_hook(lambda *_: trace.enter_phase("optimizer")),
        optimizer.register_step_post_hook(lambda *_: trace.enter_phase("between steps")),
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


class _StepTrace(MemoryTrace):
    """Under fake tensors there is no number to read back; any finite one serves, since no byte depends on it."""

    def __init__(self, *, fake: bool) -> None:
        super().__init__()
        self._fake = fake

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if self._fake and func is torch.ops.aten._local_scalar_dense.default and isinstance(args[0], FakeTensor):
            return 1 if not args[0].dtype.is_floating_point else 1.0
        return super().__torch_dispatch__(func, types, args, kwargs)


class _Watcher:
    """An observer that asks for every step and looks at nothing: what it makes the step hold is what is measured."""

    def wants(self, step: int) -> bool:
        return True

    def on_micro_batch(self, gradients: Mapping[str, torch.Tensor], targets: int, step_targets: int) -> None:
        return None

    def on_step(self, record: StepRecord) -> None:
        return None
