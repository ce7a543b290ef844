"""The shape of a model as plain numbers, with its parameters and FLOPs in closed form. No torch here.

Guarantees: `parameter_count` equals the real module's count for every valid shape (a test holds them together);
`flops_per_token` equals what torch's own counter finds in the matrix products. Price: none, arithmetic only.
Shapes with a name are in `presets`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from batchwright.foundation.errors import InputError, nearest
from batchwright.foundation.fingerprint import fingerprint

Positions = Literal["rotary", "learned"]
Norm = Literal["rms", "layer"]
Activation = Literal["swiglu", "gelu"]

_CHOICES = {"positions": get_args(Positions), "norm": get_args(Norm), "activation": get_args(Activation)}
_LATER = ("positions", "norm", "activation", "bias", "key_value_heads", "tied")
_MOST_HEADS_SUGGESTED = 1024  # a width of 10¹² is a typing error, not a search
FLOPS_PER_WEIGHT = 6  # a multiply and an add in the forward, twice that in the backward (Kaplan 2020, §2.1)

MASKED_LENGTH_LIMIT = 256
"""Up to this T documents are kept apart by a mask of 4·B·T² bytes, above it by a kernel call per segment: measured on
a CPU, see docs/lab-notes.md. Both forms are in `isolation`."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A decoder-only Transformer, pre-norm. Unless said otherwise: rotary positions, RMSNorm, SwiGLU, no biases, as
    many key-value heads as heads, one embedding at both ends.

    Symbols used by every formula: V vocabulary, D width, L layers, H heads, K = D/H head size, G key-value heads, F
    feed-forward width, T sequence length.
    """

    vocabulary_size: int  # V, special tokens included
    sequence_length: int  # T, the longest row the model is meant for; learned positions have a table of it
    width: int  # D
    layers: int  # L
    heads: int  # H
    feed_forward_width: int  # F; of each of the two halves of SwiGLU
    norm_epsilon: float = 1e-5  # explicit, because torch's default is the dtype's own epsilon (Llama, GPT-2: 1e-5)
    rotary_base: float = 10_000.0  # Su 2021, arXiv 2104.09864
    positions: Positions = "rotary"  # turn queries and keys, or add a trained vector per position (GPT-2)
    norm: Norm = "rms"  # RMSNorm (Zhang & Sennrich 2019, arXiv 1910.07467) or LayerNorm (Ba 2016, arXiv 1607.06450)
    activation: Activation = "swiglu"  # Shazeer 2020, arXiv 2002.05202; GELU: Hendrycks 2016, arXiv 1606.08415
    bias: bool = False  # of every matrix but the output's, and of LayerNorm
    key_value_heads: int | None = None  # G, each shared by H/G heads (Ainslie 2023, arXiv 2305.13245); none: H
    tied: bool = True  # the output is the embedding again (Press & Wolf 2017, arXiv 1608.05859)

    def __post_init__(self) -> None:
        for name in ("vocabulary_size", "sequence_length", "width", "layers", "heads", "feed_forward_width"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}, and a model needs at least 1")
        for name, choices in _CHOICES.items():
            _check_choice(name, getattr(self, name), choices)
        self._check_heads()
        if not 0 < self.norm_epsilon < 1:
            raise InputError(f"norm_epsilon is {self.norm_epsilon}, and must lie between 0 and 1")
        if not 1 < self.rotary_base < float("inf"):
            raise InputError(f"rotary_base is {self.rotary_base}, and must be above 1 and finite")

    def _check_heads(self) -> None:
        pairs = self.positions == "rotary"  # it turns a head's numbers two by two
        if self.width % self.heads or (pairs and self.head_size % 2):
            near = range(1, min(self.width, _MOST_HEADS_SUGGESTED) + 1)
            best = _closest(self.heads, (h for h in near if not self.width % h and not (pairs and self.width // h % 2)))
            raise InputError(
                f"width {self.width} does not divide into {self.heads} heads"
                + (" of an even size, as rotary positions need" if pairs else ""),
                remedy=f"heads = {best}" if best else "an even width",
            )
        groups = self.key_value_head_count
        if groups < 1 or self.heads % groups:
            near = range(1, min(self.heads, _MOST_HEADS_SUGGESTED) + 1)
            best = _closest(groups, (g for g in near if not self.heads % g))
            raise InputError(
                f"{self.heads} heads cannot share {groups} key-value heads evenly", remedy=f"key_value_heads = {best}"
            )

    @property
    def head_size(self) -> int:
        """K = D/H."""
        return self.width // self.heads

    @property
    def key_value_head_count(self) -> int:
        """G."""
        return self.heads if self.key_value_heads is None else self.key_value_heads

    @property
    def attention_width(self) -> int:
        """(H + 2·G)·K: queries, keys and values of one slot; 3·D unless key-value heads are shared."""
        return (self.heads + 2 * self.key_value_head_count) * self.head_size

    @property
    def hash(self) -> str:
        """The name of this shape, kept in every checkpoint."""
        return fingerprint(self.to_dict())

    def to_dict(self) -> dict[str, int | float | str | bool]:
        """The fields. What the first version did not have stands there only where it differs from its default, so that
        a shape keeps its name."""
        fields = self.__dataclass_fields__
        return {
            name: getattr(self, name)
            for name, field in fields.items()
            if name not in _LATER or getattr(self, name) != field.default
        }

    def parameters_by_part(self) -> dict[str, int]:
        """Weights by part, N matrices of D × F in a feed-forward layer (SwiGLU 3, GELU 2).

        V·D; T·D of learned positions; L·((H + 2·G)·K·D + D²); L·N·D·F; (2·L + 1)·D of norms; V·D of an output of its
        own. Biases: (H + 2·G)·K + D and F·(N − 1) + D per layer, and (2·L + 1)·D of LayerNorm.
        """
        d, f, layers, inner = self.width, self.feed_forward_width, self.layers, self.inner_matrices
        norms = 2 if self.norm == "layer" and self.bias else 1
        return {
            "embedding": self.vocabulary_size * d,
            "positions": self.sequence_length * d if self.positions == "learned" else 0,
            "attention": layers * (self.attention_width * (d + self.bias) + d * (d + self.bias)),
            "feed_forward": layers * ((inner - 1) * f * (d + self.bias) + d * (f + self.bias)),
            "norms": norms * (2 * layers + 1) * d,
            "output": 0 if self.tied else self.vocabulary_size * d,
        }

    @property
    def inner_matrices(self) -> int:
        """N: SwiGLU has a gate beside the matrices up and down."""
        return 3 if self.activation == "swiglu" else 2

    def parameter_count(self) -> int:
        """P, the number of trained weights."""
        return sum(self.parameters_by_part().values())

    def flops_per_token(self, sequence_length: int | None = None) -> int:
        """Floating-point operations of forward and backward for one slot of a row of T.

        6·(V·D + L·((H + 2·G)·K·D + D² + N·D·F)) for the weights that are multiplied (the table once, as output: a
        lookup costs nothing, nor does a bias) + 12·L·D·T for Q·Kᵀ and A·V over the full square (PaLM, arXiv
        2204.02311, appendix B; no discount for the causal half, so MFU compares with published figures). Shared
        key-value heads save none of the latter: every query head still looks at every slot.
        """
        d, length = self.width, self.sequence_length if sequence_length is None else sequence_length
        per_layer = self.attention_width * d + d * d + self.inner_matrices * d * self.feed_forward_width
        return FLOPS_PER_WEIGHT * (self.vocabulary_size * d + self.layers * per_layer) + 12 * self.layers * d * length


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        near = nearest(str(value), choices)
        raise InputError(
            f"{name} is {value!r}, and must be {' or '.join(choices)}",
            remedy=f"did you mean {near!r}?" if near else None,
        )


def _closest(wished: int, possible: Iterable[int]) -> int | None:
    return min(possible, key=lambda value: abs(value - wished), default=None)
