"""Inside the closed form of memory: what is alive at every instant of a step at which its bytes may be largest.

A step is a fixed sequence of allocations and releases; each moment below is a local maximum of it, in elements times
bytes per element. Guarantee and price: see `memory`, which takes the largest.

Symbols: B rows, T tokens per row, n = B·T slots, D width, L layers, H heads, K = D/H, F feed-forward width, V
vocabulary, P weights; sizes are in elements of `item_bytes`. Each layer keeps, for its backward,

    A = 10·D + 2·F + H + 2  per slot: two norms 4D + 2, queries and keys turned 2D, values D, attention D + H,
                                      residuals 2D, gate and up of SwiGLU 2F
    and D more where documents are kept apart without a mask (T > MASKED_LENGTH_LIMIT)

    bytes │            loss: logits on top of all activations
          │         ╭──╮
          │     ╭───╯  ╰╮_   backward: activations go, gradients come (may fall or rise: both ends are tried)
          │ ╭───╯         ╰──╮╭╮  embedding: three (V, D) gradients at once, as the table is used at both ends
          │─╯ forward        ╰╯╰──── optimizer
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from batchwright.model.config import MASKED_LENGTH_LIMIT, ModelConfig

LossForm = Literal["chunked", "whole"]
"""`model.loss` in two forms: logits of a few slots at a time, or of all of them."""

_CHUNK_LOGITS, _CHUNK_SLOTS = 2**19, 256  # those of model.loss, which needs torch: a test holds them together
_ID_BYTES, _POSITION_BYTES, _MASK_BYTES = 8, 4, 1
_SOFTMAX_VECTORS = 6  # of a number per slot, beside the logits of a chunk
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


def chunk_slots(vocabulary_size: int) -> int:
    """How many slots' logits the chunked loss holds at a time."""
    return max(_CHUNK_SLOTS, _CHUNK_LOGITS // vocabulary_size)


@dataclass(frozen=True, kw_only=True)
class StepArithmetic:
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
    def masked(self) -> bool:
        """Documents are kept apart by a mask; if isolated without one, by a call per segment."""
        return self.isolate and self.length <= MASKED_LENGTH_LIMIT

    @property
    def joined(self) -> int:
        """D, elements per slot, where the segments' outputs are kept once more as one tensor; else 0."""
        return self.model.width if self.isolate and not self.masked else 0

    @property
    def saved_per_layer(self) -> int:
        """A, elements per slot."""
        model = self.model
        return 10 * model.width + 2 * model.feed_forward_width + model.heads + 2 + self.joined

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
        if self.masked:
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
        """Both gradients are made beside the chunk, in the forward, and scaled in their place in the backward."""
        model, table = self.model, self.model.vocabulary_size * self.model.width
        chunk = min(self.slots, chunk_slots(model.vocabulary_size))
        labelled = self.touched + _ID_BYTES * chunk
        logits = chunk * (model.vocabulary_size + _SOFTMAX_VECTORS)
        yield self.moment("chunk", "loss", saved + model.width, logits=logits, new=table, batch=labelled)

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
        rest = x - 2 * f - 1
        for name, activations, before, new in (
            ("SwiGLU and down", x + 3 * f, 0, f * d),
            ("gate and up", x + d, f * d, 2 * f * d),
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
            rest - 3 * d - heads - (model.head_size if last else 0),
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
                "attention_mask": e * n * self.length * (self.masked and mask) + mask_extra,
                "batch": n * _ID_BYTES if batch is None else batch,
            },
        )
