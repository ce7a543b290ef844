"""The peak bytes of one training step of our model, in closed form: by part, at every moment where a peak can be.

Guarantee: it is the peak of the storages that the real step holds on a CPU to within 16 bytes (a test traces random
shapes, and fails when the model changes and this file does not), and within 0.14 % of what the allocator itself
reported on 30 shapes, scratch inside kernels included. Price: microseconds, no tensor. What it leaves out, because it
is not the step's: the allocator's rounding and fragmentation, the interpreter and its libraries (~250 MB with torch),
the loader's ring of batches. On a GPU reserved memory lies 13–17 % above live bytes, by published figures; nothing here
was checked on one.
"""

from dataclasses import asdict, dataclass, field

from batchwright.foundation.errors import InputError
from batchwright.model.config import ModelConfig
from batchwright.model.description import ModelDescription
from batchwright.model.execution import PLAIN, Execution
from batchwright.planning.moments import LossForm, Moment, StepArithmetic, chunk_slots

CLOSED_FORM = "closed form, planning.memory"
ADAMW = "adamw"  # the one optimizer whose state and scratch the form counts
PARTS = ("weights", "optimizer", "gradients", "activations", "logits_and_loss", "attention_mask", "batch")


@dataclass(frozen=True, kw_only=True, slots=True)
class Proportions:
    """The peak, split by what it grows with: where "twice the batch, twice the memory" ends."""

    fixed_bytes: int
    """Weights, optimizer, gradients, a full chunk of logits: there whatever the batch."""
    per_slot_bytes: int
    """∝ B·T: activations and ids."""
    per_slot_squared_bytes: int
    """∝ B·T²: the isolation mask, up to the T where there is one. Doubling T makes four of it, doubling B two."""
    per_slot_vocabulary_bytes: int
    """∝ B·T·V: logits and loss, held whole or smaller than a chunk."""

    @property
    def batch_share(self) -> float:
        """The share of the peak that grows with B."""
        moving = self.per_slot_bytes + self.per_slot_squared_bytes + self.per_slot_vocabulary_bytes
        return moving / max(1, moving + self.fixed_bytes)


@dataclass(frozen=True, kw_only=True)
class StepMemory:
    """One step of one geometry on one rank. `peak` is what must fit."""

    model: ModelDescription
    micro_batch_size: int
    sequence_length: int
    isolate: bool
    loss: LossForm
    accumulates: bool
    item_bytes: int
    moments: tuple[Moment, ...] = field(repr=False)
    source: str = CLOSED_FORM
    """Where the bytes come from: this form, or (for what it does not know) a trace of the real step."""

    @property
    def peak(self) -> Moment:
        return max(self.moments, key=lambda moment: moment.total_bytes)

    @property
    def peak_bytes(self) -> int:
        return self.peak.total_bytes

    @property
    def hidden_bytes(self) -> int | None:
        """B × T × D: the one (B, T, D) tensor that enters and leaves every layer; none: a foreign model's D is not
        known."""
        if not isinstance(self.model, ModelConfig):
            return None
        return self.micro_batch_size * self.sequence_length * self.model.width * self.item_bytes

    @property
    def logits_bytes(self) -> int:
        """B × T × V: the tensor of all scores, of which three are alive in the whole loss, none in the chunked one."""
        return self.micro_batch_size * self.sequence_length * self.model.vocabulary_size * self.item_bytes

    @property
    def phase_peaks(self) -> dict[str, int]:
        peaks: dict[str, int] = {}
        for moment in self.moments:
            peaks[moment.phase] = max(peaks.get(moment.phase, 0), moment.total_bytes)
        return peaks

    @property
    def proportions(self) -> Proportions:
        parts = self.peak.parts
        slots = self.micro_batch_size * self.sequence_length
        chunk = chunk_slots(self.model.vocabulary_size)
        chunk_bytes = parts["logits_and_loss"] if self.loss == "chunked" and slots > chunk else 0
        return Proportions(
            fixed_bytes=parts["weights"] + parts["optimizer"] + parts["gradients"] + chunk_bytes,
            per_slot_bytes=parts["activations"] + parts["batch"],
            per_slot_squared_bytes=parts["attention_mask"],
            per_slot_vocabulary_bytes=parts["logits_and_loss"] - chunk_bytes,
        )


def step_memory(
    model: ModelConfig,
    *,
    micro_batch_size: int,
    sequence_length: int | None = None,
    accumulates: bool = False,
    observed: bool = False,
    isolate: bool = True,
    loss: LossForm = "chunked",
    execution: Execution = PLAIN,
    optimizer: str = ADAMW,
    item_bytes: int = 4,
) -> StepMemory:
    """The closed form for (micro_batch_size, T) in fp32 (`item_bytes` 4) or fp64 (8), with AdamW.

    `accumulates`: a step has more than one micro-batch, so the gradients of the first are alive while the next one
    runs. `observed`: a step observer is shown each micro-batch's own gradient, which then lives beside the sum.
    """
    length = model.sequence_length if sequence_length is None else sequence_length
    _check_known(model, execution, optimizer)
    if micro_batch_size < 1 or length < 1:
        raise InputError(f"a micro-batch has at least one row and one token, not ({micro_batch_size}, {length})")
    if item_bytes not in (4, 8):
        raise InputError(f"the model computes in fp32 or fp64 (4 or 8 bytes an element), not {item_bytes}")
    step = StepArithmetic(
        model=model,
        rows=micro_batch_size,
        length=length,
        isolate=isolate,
        loss=loss,
        item=item_bytes,
        # The sum so far: autograd adds into it (accumulating), or the step does (observed).
        held=model.parameter_count() if accumulates else 0,
        adds_in_place=accumulates and not observed,
    )
    return StepMemory(
        model=model,
        micro_batch_size=micro_batch_size,
        sequence_length=length,
        isolate=isolate,
        loss=loss,
        accumulates=accumulates,
        item_bytes=item_bytes,
        moments=tuple(step.moments()),
    )


def _check_known(model: ModelConfig, execution: Execution, optimizer: str) -> None:
    """The form is exact or it refuses."""
    unknown = unknown_to_the_form(model, execution, optimizer)
    if unknown:
        raise InputError(
            f"the closed form of memory does not know {', '.join(unknown)}",
            remedy="measuring.step_trace.trace_step(…, fake=True) counts the real step's bytes",
        )


def unknown_to_the_form(model: ModelConfig, execution: Execution, optimizer: str = ADAMW) -> tuple[str, ...]:
    """Which parts are not the default's, in fp32 or fp64 with everything kept, by AdamW; none: the form holds."""
    shape, parts = model.to_dict(), ("positions", "norm", "activation", "bias", "key_value_heads", "tied")
    unknown = {name: shape[name] for name in parts if name in shape}
    unknown |= {name: value for name, value in asdict(execution).items() if value != getattr(PLAIN, name)}
    unknown |= {} if optimizer == ADAMW else {"optimizer": optimizer}
    return tuple(f"{name} = {value!r}" for name, value in unknown.items())
