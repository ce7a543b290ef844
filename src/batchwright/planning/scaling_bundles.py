"""Bundles: what a batch of another size changes, all of it together, by the name a recipe gives it. Free to call.

    name         learning rate         β₁, β₂                weight decay  ε      whose
    half-life    η₀                    β₂₀ᵏ                  τ kept        ε₀     Marek 2025, decay: Wang & Aitchison
    sqrt         η₀·√k                 β₂₀ᵏ                  τ kept        ε₀/√k  what `measure sweep` compares with
    malladi      η₀·√k                 1 − k(1 − β) of both  λ₀            ε₀/√k  Malladi 2022: the SDE of Adam
    linear       η₀·k                  β₀                    λ₀            ε₀     Goyal 2017: SGD with momentum
    saturating   η₀·(1 + h)/(1 + h/k)  β₀                    λ₀            ε₀     McCandlish 2018; h: half-way batch
    decay-tau    η₀                    β₀                    τ kept        ε₀     Wang & Aitchison 2024

k = B/B₀ in tokens per step, always from the reference batch; the papers and what each assumes stand in `scaling_rules`.
Guarantee: at the reference batch every number is the reference's, to the last bit; what had to be clipped is named.
Price: some multiplications. None of them is a fact about your model: a prior, until `measure sweep` has compared them.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from batchwright.foundation.errors import InputError, nearest
from batchwright.planning.scaling_rules import (
    BETA2_RANGE,
    Hyperparameters,
    Scaled,
    epsilon_square_root,
    saturating_learning_rate,
    scaled,
    square_root_learning_rate,
)

Bundle = Callable[[Hyperparameters, int], Scaled]
"""(the reference, tokens per step) → the numbers there."""

NAMES = ("half-life", "sqrt", "malladi", "linear", "saturating", "decay-tau")
FOR_ADAM = ("half-life", "sqrt", "malladi")  # they change β₂ or ε, which SGD does not have


def bundle_named(name: str, *, half_batch_tokens: int | None = None) -> Bundle:
    """The bundle; `half_batch_tokens` is the h of "saturating", in tokens per step. Raises InputError."""
    if name not in NAMES:
        near = nearest(name, NAMES)
        raise InputError(
            f"there is no bundle {name!r} of scaling rules",
            remedy=(f"did you mean {near!r}? " if near else "") + f"there are {', '.join(NAMES)}",
        )
    if (name == "saturating") != (half_batch_tokens is not None):
        raise InputError(
            f"the bundle {name!r} {'needs' if name == 'saturating' else 'knows no'} half-way batch",
            remedy="saturating, with the batch at which the learning rate is half of its limit",
        )
    return partial(_scaled, name, half_batch_tokens)


def _scaled(name: str, half_batch_tokens: int | None, old: Hyperparameters, tokens_per_step: int) -> Scaled:
    if tokens_per_step == old.tokens_per_step:
        return Scaled(value=old, reasons={"learning_rate": "this is the reference batch"})
    if name == "malladi":
        return _malladi(old, tokens_per_step)
    rate = "constant" if name in ("half-life", "decay-tau") else name
    return scaled(
        old,
        tokens_per_step=tokens_per_step,
        learning_rate=rate
        if half_batch_tokens is None
        else saturating_learning_rate(half_batch_tokens, old.tokens_per_step),
        scale_beta2=name in ("half-life", "sqrt"),
        scale_weight_decay=name in ("half-life", "sqrt", "decay-tau"),
        scale_epsilon=name == "sqrt",
    )


def _malladi(old: Hyperparameters, tokens_per_step: int) -> Scaled:
    """The paper's bundle whole: η·√k, 1 − β₁ and 1 − β₂ times k, ε/√k; it holds where k(1 − β) is well below 1."""
    k = tokens_per_step / old.tokens_per_step
    rate = square_root_learning_rate(old.learning_rate, k)
    wished1, wished2 = 1 - k * (1 - old.beta1), 1 - k * (1 - old.beta2)
    low, high = min(BETA2_RANGE[0], old.beta2), max(BETA2_RANGE[1], old.beta2)
    beta1, beta2 = max(0.0, wished1), min(max(wished2, low), high)
    return Scaled(
        value=replace(
            old,
            tokens_per_step=tokens_per_step,
            learning_rate=rate,
            beta1=beta1,
            beta2=beta2,
            epsilon=epsilon_square_root(old.epsilon, k),
        ),
        reasons={
            "learning_rate": f"√k at k = {k:g}: {old.learning_rate:g} → {rate:g}",
            "beta1": f"1 − k(1 − β₁) = {wished1:.6g}",
            "beta2": f"1 − k(1 − β₂) = {wished2:.6g}",
            "weight_decay": f"kept at {old.weight_decay:g}",
            "epsilon": "ε/√k",
        },
        clipped=tuple(n for n, a, b in (("beta1", beta1, wished1), ("beta2", beta2, wished2)) if a != b),
    )
