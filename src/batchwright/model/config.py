"""The shape of a model as plain numbers, with its parameters and FLOPs in closed form. No torch here.

Guarantees: `parameter_count` equals the real module's count for every valid shape (a test holds them together);
`flops_per_token` equals what torch's own counter finds in the matrix products. Price: none, arithmetic only.
"""

from dataclasses import dataclass, replace

from batchwright.foundation.errors import InputError, nearest
from batchwright.foundation.fingerprint import fingerprint

_MOST_HEADS_SUGGESTED = 1024
FLOPS_PER_WEIGHT = 6  # a multiply and an add in the forward, twice that in the backward (Kaplan 2020, §2.1)

MASKED_LENGTH_LIMIT = 256
"""Up to this T documents are kept apart by a mask of 4·B·T² bytes, above it by a kernel call per segment: measured on
a CPU, see docs/lab-notes.md. Both forms are in `isolation`."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A decoder-only Transformer: rotary positions, pre-norm RMSNorm, SwiGLU, no biases, one embedding at both ends.

    Symbols used by every formula: V vocabulary, D width, L layers, H heads, K = D/H head size, F feed-forward width,
    T sequence length.
    """

    vocabulary_size: int  # V, special tokens included
    sequence_length: int  # T, the longest row the model is meant for; rotary positions need no table of it
    width: int  # D
    layers: int  # L
    heads: int  # H
    feed_forward_width: int  # F, of each of the two halves of SwiGLU
    norm_epsilon: float = 1e-5  # explicit, because torch's default is the dtype's own epsilon (Llama: 1e-5)
    rotary_base: float = 10_000.0  # Su 2021, arXiv 2104.09864

    def __post_init__(self) -> None:
        for name in ("vocabulary_size", "sequence_length", "width", "layers", "heads", "feed_forward_width"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}, and a model needs at least 1")
        if self.width % self.heads or self.head_size % 2:
            near = range(
                1, min(self.width, _MOST_HEADS_SUGGESTED) + 1
            )  # a width of 10¹² is a typing error, not a search
            fitting = [h for h in near if self.width % h == 0 and (self.width // h) % 2 == 0]
            best = min(fitting, key=lambda h: abs(h - self.heads), default=None)
            raise InputError(
                f"width {self.width} does not divide into {self.heads} heads of an even size, as rotary positions need",
                remedy=f"heads = {best}" if best else "an even width",
            )
        if not 0 < self.norm_epsilon < 1:
            raise InputError(f"norm_epsilon is {self.norm_epsilon}, and must lie between 0 and 1")
        if not 1 < self.rotary_base < float("inf"):
            raise InputError(f"rotary_base is {self.rotary_base}, and must be above 1 and finite")

    @property
    def head_size(self) -> int:
        """K = D/H."""
        return self.width // self.heads

    @property
    def hash(self) -> str:
        """The name of this shape, kept in every checkpoint."""
        return fingerprint(self.to_dict())

    def to_dict(self) -> dict[str, int | float]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def parameters_by_part(self) -> dict[str, int]:
        """Weights by part: V·D; L·4·D²; L·3·D·F; (2L + 1)·D. The output is the embedding again and adds nothing."""
        width, layers = self.width, self.layers
        return {
            "embedding": self.vocabulary_size * width,
            "attention": layers * 4 * width * width,
            "feed_forward": layers * 3 * width * self.feed_forward_width,
            "norms": (2 * layers + 1) * width,
        }

    def parameter_count(self) -> int:
        """P, the number of trained weights."""
        return sum(self.parameters_by_part().values())

    def flops_per_token(self, sequence_length: int | None = None) -> int:
        """Floating-point operations of forward and backward for one slot of a row of T.

        6·(V·D + L·(4·D² + 3·D·F)) for the weights that are multiplied (the tied embedding once, as output: a lookup
        costs nothing) + 12·L·D·T for Q·Kᵀ and A·V over the full square (PaLM, arXiv 2204.02311, appendix B; no discount
        for the causal half, so MFU compares with published figures).
        """
        parts = self.parameters_by_part()
        multiplied = parts["embedding"] + parts["attention"] + parts["feed_forward"]
        return FLOPS_PER_WEIGHT * multiplied + 12 * self.layers * self.width * (sequence_length or self.sequence_length)


PRESETS: dict[str, ModelConfig] = {
    # 0.25 M weights at V = 2,048: learns in a minute on one CPU core. Three layers of two heads, because at this size
    # a fourth layer or smaller heads cost a fifth of the speed each.
    "tiny": ModelConfig(vocabulary_size=2048, sequence_length=128, width=64, layers=3, heads=2, feed_forward_width=128),
    # GPT-2's smallest shape; SwiGLU of 8/3·D has the weights of its 4·D GELU (Shazeer 2020, arXiv 2002.05202).
    "gpt2-124m": ModelConfig(
        vocabulary_size=50257, sequence_length=1024, width=768, layers=12, heads=12, feed_forward_width=2048
    ),
}


def preset(name: str, *, vocabulary_size: int | None = None, sequence_length: int | None = None) -> ModelConfig:
    """A shape by name, for another vocabulary or row length where given."""
    if name not in PRESETS:
        suggestion = nearest(name, PRESETS)
        raise InputError(
            f"there is no model preset {name!r}",
            remedy=f"{f'did you mean {suggestion!r}? ' if suggestion else ''}known: {', '.join(PRESETS)}",
        )
    chosen = PRESETS[name]
    return replace(
        chosen,
        vocabulary_size=chosen.vocabulary_size if vocabulary_size is None else vocabulary_size,
        sequence_length=chosen.sequence_length if sequence_length is None else sequence_length,
    )
