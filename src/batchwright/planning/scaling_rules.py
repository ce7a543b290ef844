"""What must change when the batch changes from B₀ to B: named rules, each with its paper and what it assumes. Free to
call.

k = B / B₀ in tokens per step, always from a *reference* run (B₀, η₀, β₂₀ …) that is known to train, never chained from
rule to rule: the clipping of β₂ does not compose. No rule is a fact about your model. Published measurements disagree
because the exponent of the learning rate depends on what else is co-scaled, so rules are compared as bundles
(`scaled`), by measurement (`measuring.batch_sweep`), and everything here is a prior until then.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from batchwright.foundation.errors import InputError, nearest

LearningRateRule = Callable[[float, float], float]
"""(η₀, k) → η."""

BETA2_RANGE = (0.95, 0.9999)


@dataclass(frozen=True, kw_only=True, slots=True)
class Hyperparameters:
    """The optimizer's numbers that are tied to a batch of `tokens_per_step`."""

    tokens_per_step: int
    learning_rate: float
    beta1: float = 0.9
    beta2: float = 0.95
    epsilon: float = 1e-8
    weight_decay: float = 0.1
    tokens: int
    """D, the tokens of the whole run: the time scale of weight decay is a share of it."""

    def __post_init__(self) -> None:
        if self.tokens_per_step < 1 or self.tokens < 1:
            raise InputError(
                f"a run has tokens: {self.tokens_per_step} per step and {self.tokens} in all make no sense"
            )
        if not (self.learning_rate > 0 and self.epsilon >= 0 and self.weight_decay >= 0):
            raise InputError(
                "learning rate must be positive, ε and weight decay not negative, "
                f"but they are {self.learning_rate}, {self.epsilon}, {self.weight_decay}"
            )
        if not (0 <= self.beta1 < 1 and 0 <= self.beta2 < 1):
            raise InputError(f"β₁ and β₂ lie in [0, 1), but they are {self.beta1} and {self.beta2}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Scaled:
    """New numbers, why each is what it is, and what could not be followed exactly."""

    value: Hyperparameters
    reasons: dict[str, str]
    clipped: tuple[str, ...] = ()


# Learning rate


def constant_learning_rate(learning_rate: float, k: float) -> float:
    """η = η₀. Marek et al. 2025 (arXiv 2507.07101): with β₂ held at a token half-life, small batches need no change of
    η.

    Assumes that β₂ is co-scaled and decay small; with fixed β₂ a large batch then learns too slowly.
    """
    del k
    return learning_rate


def square_root_learning_rate(learning_rate: float, k: float) -> float:
    """η = η₀·√k. Malladi et al. 2022 (arXiv 2205.10287): the SDE limit of Adam.

    Assumes noise-dominated gradients (B far below the critical batch). The paper's rule is a bundle: it also
    multiplies 1 − β₁ and 1 − β₂ by k and ε by 1/√k; √ with fixed β is a common, different rule.
    """
    return learning_rate * math.sqrt(k)


def linear_learning_rate(learning_rate: float, k: float) -> float:
    """η = η₀·k. Goyal et al. 2017 (arXiv 1706.02677): SGD with momentum, after warm-up.

    Assumes SGD and B below the critical batch; for Adam it overshoots.
    """
    return learning_rate * k


def saturating_learning_rate(half_batch: float, reference_batch: float) -> LearningRateRule:
    """η ∝ 1/(1 + h/B), both batches in the same unit. McCandlish et al. 2018 (arXiv 1812.06162): ε_max/(1 +
    B_noise/B), there for SGD.

    Assumes that the tuned rate rises below h and is flat far above it. On public grids of rate × batch (Adam, fixed β₂
    and decay) h near half of the best batch was never worse than √k.
    """
    if half_batch <= 0 or reference_batch <= 0:
        raise InputError(
            f"the half-way batch and the reference batch are positive, not {half_batch} and {reference_batch}"
        )
    h = half_batch / reference_batch
    return lambda learning_rate, k: learning_rate * (1 + h) / (1 + h / k)


LEARNING_RATE_RULES: dict[str, LearningRateRule] = {
    "constant": constant_learning_rate,
    "sqrt": square_root_learning_rate,
    "linear": linear_learning_rate,
}
"""The rules without a parameter, by the name they have in a recipe."""


def learning_rate_rule(name: str) -> LearningRateRule:
    if name not in LEARNING_RATE_RULES:
        near = nearest(name, LEARNING_RATE_RULES)
        raise InputError(
            f"there is no learning rate rule '{name}'",
            remedy=f"one of {', '.join(LEARNING_RATE_RULES)}" + (f" (did you mean '{near}'?)" if near else ""),
        )
    return LEARNING_RATE_RULES[name]


# The rest of the optimizer


def beta2_at_token_half_life(beta2: float, k: float) -> tuple[float, bool]:
    """β₂ = β₂₀^k, so that the average of squared gradients forgets half after the same number of *tokens*; (β₂, was it
    clipped).

    Marek et al. 2025 (arXiv 2507.07101). Assumes that the half-life in tokens, not in steps, is what matters. Clipped
    to [0.95, 0.9999]: below, the average holds too few steps to be one; above, it never warms up in a short run. The
    reference's own β₂ is always in range.
    """
    if not 0.0 < beta2 < 1.0:
        raise InputError(f"a half-life needs 0 < β₂ < 1, not {beta2}")
    wished = beta2**k
    low, high = min(BETA2_RANGE[0], beta2), max(BETA2_RANGE[1], beta2)
    return min(max(wished, low), high), not low <= wished <= high


def half_life_tokens(beta2: float, tokens_per_step: int) -> float:
    """Tokens after which a squared gradient counts half: ln ½ / ln β₂ steps."""
    if not 0.0 < beta2 < 1.0:
        raise InputError(f"a half-life needs 0 < β₂ < 1, not {beta2}")
    return tokens_per_step * math.log(0.5) / math.log(beta2)


def weight_decay_at_constant_tau(
    old: Hyperparameters, *, tokens_per_step: int, learning_rate: float, tokens: int
) -> float:
    """λ = λ₀·(B/B₀)·(η₀/η)·(D₀/D), which holds τ = B/(η·λ·D) constant; η is the peak rate.

    Wang & Aitchison 2024 (arXiv 2405.13698), Bergsma et al. 2025 (Power Lines, arXiv 2505.13738). Assumes decay
    coupled to the learning rate, as in torch's AdamW: weights are an average of updates over 1/(η·λ) steps, and that
    window should stay the same share of the run.
    """
    return (
        old.weight_decay
        * (tokens_per_step / old.tokens_per_step)
        * (old.learning_rate / learning_rate)
        * (old.tokens / tokens)
    )


def tau(values: Hyperparameters) -> float:
    """The averaging window of weight decay as a share of the run; infinite without decay."""
    pull = values.learning_rate * values.weight_decay * values.tokens
    return values.tokens_per_step / pull if pull > 0 else math.inf


def epsilon_square_root(epsilon: float, k: float) -> float:
    """ε = ε₀/√k. Malladi et al. 2022 (arXiv 2205.10287): gradients of a k times larger batch are √k smaller while
    noise dominates.

    Assumes noise-dominated gradients; matters only where √v is near ε. (Of the paper's bundle, this part is cited from
    memory.)
    """
    return epsilon / math.sqrt(k)


def scaled(
    old: Hyperparameters,
    *,
    tokens_per_step: int,
    tokens: int | None = None,
    learning_rate: str | LearningRateRule = "sqrt",
    scale_beta2: bool = True,
    scale_weight_decay: bool = True,
    scale_epsilon: bool = True,
) -> Scaled:
    """All numbers of a run at another batch, from a reference run `old`, with the reason for each. β₁ stays."""
    tokens = old.tokens if tokens is None else tokens
    rule = learning_rate_rule(learning_rate) if isinstance(learning_rate, str) else learning_rate
    name = learning_rate if isinstance(learning_rate, str) else "given"
    k = tokens_per_step / old.tokens_per_step
    rate = rule(old.learning_rate, k)
    reasons = {
        "learning_rate": f"{name} rule at k = {k:g}: {old.learning_rate:g} → {rate:g}",
        "beta1": f"kept at {old.beta1:g}",
    }
    clipped: tuple[str, ...] = ()
    beta2 = old.beta2
    if scale_beta2:
        beta2, was_clipped = beta2_at_token_half_life(old.beta2, k)
        half_life = half_life_tokens(old.beta2, old.tokens_per_step)
        reasons["beta2"] = f"half-life of {half_life:,.0f} tokens kept: {old.beta2:g}^{k:g} = {old.beta2**k:.6g}"
        if was_clipped:
            clipped = ("beta2",)
            reasons["beta2"] += f", clipped to {beta2:g}"
    decay = old.weight_decay
    if scale_weight_decay:
        decay = weight_decay_at_constant_tau(old, tokens_per_step=tokens_per_step, learning_rate=rate, tokens=tokens)
        reasons["weight_decay"] = f"τ = B/(η·λ·D) kept at {tau(old):.4g}"
    epsilon = old.epsilon
    if scale_epsilon:
        epsilon = epsilon_square_root(old.epsilon, k)
        reasons["epsilon"] = f"ε/√k: {old.epsilon:g} → {epsilon:g}"
    value = replace(
        old,
        tokens_per_step=tokens_per_step,
        tokens=tokens,
        learning_rate=rate,
        beta2=beta2,
        weight_decay=decay,
        epsilon=epsilon,
    )
    return Scaled(value=value, reasons=reasons, clipped=clipped)
