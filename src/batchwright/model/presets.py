"""Shapes by name, each with its source. A preset is a frozen `ModelConfig`; for another vocabulary or row length ask
`preset`. Shapes only: no weights of anyone are fetched, and every one begins from our own initialisation.

    tiny, tiny-classic, tiny-grouped    0.25 to 0.37 M weights: learn something in a minute on one CPU core
    tiny-1m                             1 M
    gpt2-124m                           GPT-2's smallest, of today's parts: rotary, RMSNorm, SwiGLU, no biases
    gpt2-124m-classic … 1558m-classic   GPT-2 itself (Radford 2019): learned positions, LayerNorm, GELU, biases
    gpt3-small … gpt3-175b              the eight of GPT-3's table 2.1 (Brown 2020, arXiv 2005.14165), dense attention
    llama-7b                            Llama 1 and 2 (Touvron 2023, arXiv 2302.13971, table 2)
    llama-1b, -3b, -8b, -70b            Llama 3 (Grattafiori 2024, arXiv 2407.21783, table 3) and 3.2's two small ones

Where a source says two things at once, its parameter count decided (see `_gpt3`).
"""

from dataclasses import replace

from batchwright.foundation.errors import InputError, nearest
from batchwright.model.config import ModelConfig

GPT2_VOCABULARY = 50_257
LLAMA3_VOCABULARY = 128_256


def _tiny(**parts: object) -> ModelConfig:
    """0.25 M weights at V = 2,048. Three layers of two heads, because at this size a fourth layer or smaller heads
    cost a fifth of the speed each."""
    shape = ModelConfig(vocabulary_size=2048, sequence_length=128, width=64, layers=3, heads=2, feed_forward_width=128)
    return replace(shape, **parts)


def _classic(
    *, sequence_length: int, width: int, layers: int, heads: int, vocabulary_size: int = GPT2_VOCABULARY
) -> ModelConfig:
    """The parts of GPT-2 and GPT-3: everything has a bias, F = 4·D, the output is the embedding again."""
    return ModelConfig(
        vocabulary_size=vocabulary_size,
        sequence_length=sequence_length,
        width=width,
        layers=layers,
        heads=heads,
        feed_forward_width=4 * width,
        positions="learned",
        norm="layer",
        activation="gelu",
        bias=True,
    )


def _gpt3(*, width: int, layers: int, heads: int) -> ModelConfig:
    """One line of table 2.1, of 2,048 tokens a row and GPT-2's vocabulary.

    Two lines contradict themselves (heads × head size is not the width): XL says 24 heads of 128 at a width of 2,048,
    here 16, which gives the 1.3 B that it is named for; 13B says a width of 5,140, here 40 heads × 128 = 5,120. The
    paper alternates dense and banded sparse attention; here every layer is dense.
    """
    return _classic(sequence_length=2048, width=width, layers=layers, heads=heads)


def _llama3(*, width: int, layers: int, heads: int, feed_forward_width: int, tied: bool = False) -> ModelConfig:
    """8 key-value heads, rows of the 8,192 tokens that they were pre-trained on first. What 3.1 and 3.2 do to the
    rotary frequencies for longer rows is not here."""
    return ModelConfig(
        vocabulary_size=LLAMA3_VOCABULARY,
        sequence_length=8192,
        width=width,
        layers=layers,
        heads=heads,
        feed_forward_width=feed_forward_width,
        rotary_base=500_000.0,
        key_value_heads=8,
        tied=tied,
    )


PRESETS: dict[str, ModelConfig] = {
    "tiny": _tiny(),
    "tiny-classic": _tiny(positions="learned", norm="layer", activation="gelu", bias=True, feed_forward_width=192),
    "tiny-grouped": _tiny(heads=4, key_value_heads=2, tied=False),
    "tiny-1m": _tiny(width=128, layers=4, heads=4, feed_forward_width=256),
    # SwiGLU of 8/3·D has the weights of a GELU of 4·D (Shazeer 2020, arXiv 2002.05202).
    "gpt2-124m": ModelConfig(
        vocabulary_size=GPT2_VOCABULARY, sequence_length=1024, width=768, layers=12, heads=12, feed_forward_width=2048
    ),
    "gpt2-124m-classic": _classic(sequence_length=1024, width=768, layers=12, heads=12),
    "gpt2-355m-classic": _classic(sequence_length=1024, width=1024, layers=24, heads=16),
    "gpt2-774m-classic": _classic(sequence_length=1024, width=1280, layers=36, heads=20),
    "gpt2-1558m-classic": _classic(sequence_length=1024, width=1600, layers=48, heads=25),
    "gpt3-small": _gpt3(width=768, layers=12, heads=12),
    "gpt3-medium": _gpt3(width=1024, layers=24, heads=16),
    "gpt3-large": _gpt3(width=1536, layers=24, heads=16),
    "gpt3-xl": _gpt3(width=2048, layers=24, heads=16),
    "gpt3-2.7b": _gpt3(width=2560, layers=32, heads=32),
    "gpt3-6.7b": _gpt3(width=4096, layers=32, heads=32),
    "gpt3-13b": _gpt3(width=5120, layers=40, heads=40),
    "gpt3-175b": _gpt3(width=12_288, layers=96, heads=96),
    "llama-7b": ModelConfig(
        vocabulary_size=32_000,
        sequence_length=4096,  # Llama 2's; Llama 1 had 2,048
        width=4096,
        layers=32,
        heads=32,
        feed_forward_width=11_008,
        tied=False,
    ),
    "llama-1b": _llama3(width=2048, layers=16, heads=32, feed_forward_width=8192, tied=True),
    "llama-3b": _llama3(width=3072, layers=28, heads=24, feed_forward_width=8192, tied=True),
    "llama-8b": _llama3(width=4096, layers=32, heads=32, feed_forward_width=14_336),
    "llama-70b": _llama3(width=8192, layers=80, heads=64, feed_forward_width=28_672),
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
