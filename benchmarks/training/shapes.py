"""What is trained, as plain numbers: rivals that know nothing of batchwright read them too.

Two families, each in two sizes. `rotary` is batchwright's own preset shape and that of Llama: rotary positions,
RMSNorm, SwiGLU, no biases. `classic` is GPT-2's: learned positions, LayerNorm, GELU of 4·D, biases. Embedding and
output are one matrix in both.
"""

from dataclasses import dataclass
from typing import Literal

Family = Literal["rotary", "classic"]


@dataclass(frozen=True, kw_only=True)
class Shape:
    """V, D, L, H and F; F is that of SwiGLU, the classic one takes 4·D."""

    name: str
    vocabulary_size: int
    width: int
    layers: int
    heads: int
    feed_forward_width: int


@dataclass(frozen=True, kw_only=True)
class Work:
    """One row of the table: a shape, its batch and how many updates are timed in a round."""

    shape: Shape
    sequence_length: int
    micro_batch_size: int
    accumulation: int
    steps: int

    @property
    def global_batch_size(self) -> int:
        return self.micro_batch_size * self.accumulation

    @property
    def tokens_per_step(self) -> int:
        return self.global_batch_size * self.sequence_length

    @property
    def name(self) -> str:
        return f"{self.shape.name}, T = {self.sequence_length:,}"


SMALL = Shape(name="1 M", vocabulary_size=2048, width=128, layers=4, heads=4, feed_forward_width=344)
GPT2 = Shape(name="124 M", vocabulary_size=50257, width=768, layers=12, heads=12, feed_forward_width=2048)

WORKS = (
    Work(shape=SMALL, sequence_length=256, micro_batch_size=16, accumulation=2, steps=2),
    Work(shape=SMALL, sequence_length=1024, micro_batch_size=4, accumulation=2, steps=2),
    Work(shape=GPT2, sequence_length=256, micro_batch_size=2, accumulation=1, steps=1),
    Work(shape=GPT2, sequence_length=1024, micro_batch_size=1, accumulation=1, steps=1),
)
