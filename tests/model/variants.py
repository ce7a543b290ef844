"""Every kind of model there is, as small as it can be: the parts in which shapes may differ, drawn or listed."""

from dataclasses import replace

from hypothesis import strategies as st

from batchwright.model.config import ModelConfig

PARTS = {
    "today's": {},
    "classic": {"positions": "learned", "norm": "layer", "activation": "gelu", "bias": True},
    "learned positions": {"positions": "learned"},
    "LayerNorm without bias": {"norm": "layer"},
    "GELU": {"activation": "gelu"},
    "biases": {"bias": True},
    "two heads share": {"heads": 4, "key_value_heads": 2},
    "all heads share": {"heads": 4, "key_value_heads": 1},
    "untied": {"tied": False},
    "everything": {
        "positions": "learned",
        "norm": "layer",
        "activation": "gelu",
        "bias": True,
        "heads": 4,
        "key_value_heads": 2,
        "tied": False,
    },
}


def variant(name: str, shape: ModelConfig) -> ModelConfig:
    """`shape` with the parts of that name; its width must divide into 4 heads."""
    return replace(shape, **PARTS[name])


@st.composite
def shapes(
    draw: st.DrawFn, *, vocabulary: int = 99, longest: int = 24, inner: int = 40, most_halves: int = 6
) -> ModelConfig:
    """Any small shape."""
    groups, sharing = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    heads = groups * sharing
    return ModelConfig(
        vocabulary_size=draw(st.integers(2, vocabulary)),
        sequence_length=draw(st.integers(2, longest)),
        width=heads * 2 * draw(st.integers(1, most_halves)),
        layers=draw(st.integers(1, 3)),
        heads=heads,
        feed_forward_width=draw(st.integers(1, inner)),
        positions=draw(st.sampled_from(["rotary", "learned"])),
        norm=draw(st.sampled_from(["rms", "layer"])),
        activation=draw(st.sampled_from(["swiglu", "gelu"])),
        bias=draw(st.booleans()),
        key_value_heads=groups,
        tied=draw(st.booleans()),
    )
