"""The peak bytes of one training step of our model, in closed form: by part, at every moment where a peak can be.

Guarantee: it is the peak of the storages that the real step holds on a CPU to within 16 bytes (a test traces random
shapes, and fails when the model changes and this file does not), and within 0.14 % of what the allocator itself
reported on 30 shapes, scratch inside kernels included. Price: microseconds, no tensor. What it leaves out, because it
is not the step's: the allocator's rounding and fragmentation, the interpreter and its libraries (~250 MB with torch),
the loader's ring of batches. On a GPU reserved memory lies 13–17 % above live bytes, by published figures; nothing here
was checked on one.

Symbols: B rows, T tokens per row, n = B·T slots, D width, L layers, H heads, K = D/H, F feed-forward width, V
vocabulary, P weights; sizes are in elements of `item_bytes`. Each layer keeps, for its backward,

    A = 12·D + 4·F + H + 2  per slot: two norms 4D + 2, queries, keys and values 3D, queries and keys turned 2D,
                                      attention D + H, residuals 2D, SwiGLU 4F

    bytes │            loss: logits on top of all activations
          │         ╭──╮
          │     ╭───╯  ╰╮_   backward: activations go, gradients come (may fall or rise: both ends are tried)
          │ ╭───╯         ╰──╮╭╮  embedding: three (V, D) gradients at once, as the table is used at both ends
          │─╯ forward        ╰╯╰──── optimizer
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from batchwright.foundation.errors import InputError
from batchwright.model.config import ModelConfig

LossForm = Literal["chunked", "whole"]
"""`model.loss` in two forms: logits of a few slots at a time, or of all of them."""

PARTS = ("weights", "optimizer", "gradients", "activations", "logits_and_loss", "attention_mask", "batch")

_CHUNK_LOGITS, _CHUNK_SLOTS = 2**19, 256  # those of model.loss, which needs torch: a test holds them together
_ID_BYTES, _POSITION_BYTES, _MASK_BYTES = 8, 4, 1
_SCALARS = 3  # the summed loss, the loss and its gradient
_COUNTER_BYTES = 4  # AdamW's step count, a tensor per weight tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """One instant of a step at which the bytes may be largest, with what is alive."""

    name: str
    phase: str
    parts: dict[str, int]

    @property
    def total_bytes(self) -> int:
        return sum(self.parts.values())


@dataclass(frozen=True, kw_only=True, slots=True)
class Proportions:
    """The peak, split by what it grows with: where "twice the batch, twice the memory" ends."""

    fixed_bytes: int
    """Weights, optimizer, gradients, a full chunk of logits: there whatever the batch."""
    per_slot_bytes: int
    """∝ B·T: activations and ids."""
    per_slot_squared_bytes: int
    """∝ B·T²: the isolation mask. Doubling T makes four of it, doubling B two."""
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

    model: ModelConfig
    micro_batch_size: int
    sequence_length: int
    isolate: bool
    loss: LossForm
    accumulates: bool
    item_bytes: int
    moments: tuple[Moment, ...] = field(repr=False)

    @property
    def peak(self) -> Moment:
        return max(self.moments, key=lambda moment: moment.total_bytes)

    @property
    def peak_bytes(self) -> int:
        return self.peak.total_bytes

    @property
    def hidden_bytes(self) -> int:
        """B × T × D: the one (B, T, D) tensor that enters and leaves every layer."""
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


def chunk_slots(vocabulary_size: int) -> int:
    """How many slots' logits the chunked loss holds at a time."""
    return max(_CHUNK_SLOTS, _CHUNK_LOGITS // vocabulary_size)


def step_memory(
    model: ModelConfig,
    *,
    micro_batch_size: int,
    sequence_length: int | None = None,
    accumulates: bool = False,
    observed: bool = False,
    isolate: bool = True,
    loss: LossForm = "chunked",
    item_bytes: int = 4,
) -> StepMemory:
    """The closed form for (micro_batch_size, T) in fp32 (`item_bytes` 4) or fp64 (8), with AdamW.

    `accumulates`: a step has more than one micro-batch, so the gradients of the first are alive while the next one
    runs. `observed`: a step observer is shown each micro-batch's own gradient, which then lives beside the sum.
    """
    length = model.sequence_length if sequence_length is None else sequence_length
    if micro_batch_size < 1 or length < 1:
        raise InputError(f"a micro-batch has at least one row and one token, not ({micro_batch_size}, {length})")
    if item_bytes not in (4, 8):
        raise InputError(f"the model computes in fp32 or fp64 (4 or 8 bytes an element), not {item_bytes}")
    step = _Step(
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


@dataclass(frozen=True, kw_only=True)
class _Step:
    """The arithmetic. Sizes are elements; `moment` alone turns them into bytes."""

    model: ModelConfig
    rows: int
    length: int
    isolate: bool
    loss: LossForm
    item: int
    held: int
    adds_in_place: bool

    @property
    def slots(self) -> int:
        return self.rows * self.length

    @property
    def saved_per_layer(self) -> int:
        """A, elements per slot."""
        model = self.model
        return 12 * model.width + 4 * model.feed_forward_width + model.heads + 2

    @property
    def saved_before_layers(self) -> int:
        """The embedded ids (D) and the rotation (K/2 complex numbers), shared by all layers."""
        return self.model.width + self.model.head_size

    def moments(self) -> Iterator[Moment]:
        yield from self.forward_and_loss()
        yield from self.layers_backward(self.model.layers)
        if self.model.layers > 1:
            yield from self.layers_backward(1)
        yield from self.embedding_and_optimizer()

    def forward_and_loss(self) -> Iterator[Moment]:
        model, table = self.model, self.model.vocabulary_size * self.model.width
        saved = self.saved_before_layers + model.layers * self.saved_per_layer + 2 * model.width + 1
        if self.isolate:
            # Boolean "allowed" and its negation beside the mask, the causal square, and the segment numbers.
            making = 2 * self.slots * self.length + self.length**2
            batch = (_ID_BYTES + _POSITION_BYTES + 8) * self.slots
            yield self.moment("mask", "forward", self.saved_before_layers, batch=batch, mask_extra=making)
        yield from self.whole_loss(saved) if self.loss == "whole" else self.chunked_loss(saved)
        yield self.moment(
            "final norm backward", "backward", saved + 3 * model.width - 1, pending=table, done=model.width
        )

    def whole_loss(self, saved: int) -> Iterator[Moment]:
        model, table = self.model, self.model.vocabulary_size * self.model.width
        logits = self.slots * model.vocabulary_size
        # The targets once more, with −100 where nothing is to be learnt.
        labelled = self.touched + _ID_BYTES * self.slots
        yield self.moment("log-softmax", "loss", saved, logits=2 * logits, batch=labelled)
        yield self.moment("log-softmax backward", "loss", saved, logits=3 * logits)
        # The scores' gradient and those of what made them: the hidden states and the table.
        yield self.moment("scores backward", "loss", saved + model.width, logits=logits, new=table)

    def chunked_loss(self, saved: int) -> Iterator[Moment]:
        """Both gradients are made beside the chunk, in the forward, and scaled (once more each) in the backward."""
        model, table = self.model, self.model.vocabulary_size * self.model.width
        chunk = min(self.slots, chunk_slots(model.vocabulary_size))
        labelled = self.touched + _ID_BYTES * chunk
        logits = 2 * chunk * model.vocabulary_size
        yield self.moment("chunk", "loss", saved + model.width, logits=logits, new=table, batch=labelled)
        yield self.moment("loss backward", "loss", saved + model.width, pending=2 * table)

    @property
    def touched(self) -> int:
        """Bytes of ids, positions, targets and loss mask."""
        return self.slots * (2 * _ID_BYTES + _POSITION_BYTES + _MASK_BYTES)

    def layers_backward(self, layer: int) -> Iterator[Moment]:
        """Inside the backward of `layer` (1 is the lowest). Everything is linear in the layer, so its two ends
        suffice."""
        model = self.model
        d, f, heads = model.width, model.feed_forward_width, model.heads
        table, per_layer = model.vocabulary_size * d, 4 * d * d + 3 * d * f + 2 * d
        above = (model.layers - layer) * per_layer + d
        # Alive when its backward begins; the gradient that arrives has taken the place of the layer's own output.
        x = self.saved_before_layers + layer * self.saved_per_layer
        rest = x - 4 * f - 1
        for name, activations, before, new in (
            ("down", x + f, 0, f * d),
            ("SwiGLU", x + 2 * f, f * d, 0),
            ("gate and up", x - 2 * f + d, f * d, 2 * f * d),
            ("feed-forward norm", rest + 2 * d, 3 * f * d + d, 0),
            ("attention output", rest - 2 * d, 3 * f * d + d, d * d),
            ("attention", rest + d, 3 * f * d + d * d + d, 0),
        ):
            yield self.moment(
                f"{name} backward, layer {layer}", "backward", activations, pending=table, done=above + before, new=new
            )
        # By then the lowest layer has let go of what all layers share: rotation and mask.
        last = layer == 1
        yield self.moment(
            f"queries, keys, values backward, layer {layer}",
            "backward",
            rest - 5 * d - heads - (model.head_size if last else 0),
            mask=not last,
            pending=table,
            done=above + 3 * f * d + d * d + d,
            new=3 * d * d,
        )

    def embedding_and_optimizer(self) -> Iterator[Moment]:
        total = self.model.parameter_count()
        table = self.model.vocabulary_size * self.model.width
        others = total - table
        yield self.moment(
            "embedding backward", "backward", self.model.width, mask=False, pending=table, done=others, new=table
        )
        # Autograd adds the table's two gradients into a third before it hands the sum on.
        yield self.moment(
            "embedding sum", "backward", 0, mask=False, pending=2 * table, done=others, new=table, batch=0
        )
        yield self.moment("optimizer", "optimizer", 0, mask=False, done=total, batch=0)

    def moment(
        self,
        name: str,
        phase: str,
        activations: int,
        *,
        logits: int = 0,
        mask: bool = True,
        mask_extra: int = 0,
        batch: int | None = None,
        pending: int = 0,
        done: int = 0,
        new: int = 0,
    ) -> Moment:
        """`activations` in elements per slot; `logits` in elements; `batch` (the ids alone, if nothing is said) and
        `mask_extra` in bytes. Gradients in elements: `pending` waits inside autograd for a second part, `done` was
        handed on, `new` has just been made."""
        model, e, n = self.model, self.item, self.slots
        total = model.parameter_count()
        gradients = pending + new + self.held
        if not self.adds_in_place:
            gradients += done
        if phase == "optimizer":
            gradients = total
        return Moment(
            name=name,
            phase=phase,
            parts={
                "weights": e * total + e * model.head_size // 2,
                "optimizer": 2 * e * total + _COUNTER_BYTES * (6 * model.layers + 2),
                "gradients": e * gradients,
                "activations": e * n * activations,
                "logits_and_loss": e * logits + (e * _SCALARS if phase in ("loss", "backward") else 0),
                "attention_mask": e * n * self.length * (self.isolate and mask) + mask_extra,
                "batch": n * _ID_BYTES if batch is None else batch,
            },
        )
