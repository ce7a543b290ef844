"""Intervals for a mean and for a ratio of means, from a handful of nearly independent observations.

A noise scale is a ratio whose denominator may be buried in noise, so the usual "value ± 2 standard errors" is wrong
just when it matters: in resamples of a real model's gradients the delta method covered the truth in 83–97 % of the
cases and the jackknife in 79–97 %, Fieller's interval in 93–96 % at a nominal 95 %. Its price is honesty: when the
denominator is not distinguishable from zero it returns a lower bound only, or no bound at all, instead of a number.

    Fieller:  { R : A·R² − 2M·R + C ≤ 0 },   s, q = means of numerator and denominator over K observations
              A = q² − t²V_q/K     M = s·q − t²C_sq/K     C = s² − t²V_s/K

Student's t is computed here (continued fraction and bisection, ~50 µs) so that no statistics package is needed.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from batchwright.foundation.errors import InputError

Observations = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """Where the truth lies at the stated confidence. `None` means that the data give no bound on that side."""

    lower: float | None
    upper: float | None
    confidence: float

    def __post_init__(self) -> None:
        if not 0.0 < self.confidence < 1.0:
            raise InputError(f"a confidence lies between 0 and 1, not {self.confidence}")

    @property
    def bounded(self) -> bool:
        return self.lower is not None and self.upper is not None

    def covers(self, value: float) -> bool:
        """An unbounded side excludes nothing: "not resolved" counts as covering."""
        return (self.lower is None or self.lower <= value) and (self.upper is None or value <= self.upper)

    def scaled(self, factor: float) -> "Interval":
        """The same interval in another unit (factor > 0)."""
        lower = None if self.lower is None else self.lower * factor
        upper = None if self.upper is None else self.upper * factor
        return Interval(lower=lower, upper=upper, confidence=self.confidence)


def mean_interval(values: Observations, *, confidence: float = 0.95) -> Interval:
    """Student's interval for the mean of independent values; no bound from fewer than two."""
    count = len(values)
    if count < 2:
        return Interval(lower=None, upper=None, confidence=confidence)
    half = _two_sided_t(confidence, count - 1) * float(values.std(ddof=1)) / math.sqrt(count)
    mean = float(values.mean())
    return Interval(lower=mean - half, upper=mean + half, confidence=confidence)


def ratio_interval(numerators: Observations, denominators: Observations, *, confidence: float = 0.95) -> Interval:
    """Fieller's interval for mean(numerators) / mean(denominators), a ratio known to be ≥ 0; (K,) and (K,), paired."""
    count = len(numerators)
    if count != len(denominators):
        raise InputError(
            f"numerators and denominators are pairs, but there are {count} and {len(denominators)} of them"
        )
    nothing = Interval(lower=None, upper=None, confidence=confidence)
    if count < 2:
        return nothing
    covariance = np.cov(numerators, denominators)
    slack = _two_sided_t(confidence, count - 1) ** 2 / count
    s, q = float(numerators.mean()), float(denominators.mean())
    a = q * q - slack * float(covariance[1, 1])
    m = s * q - slack * float(covariance[0, 1])
    c = s * s - slack * float(covariance[0, 0])
    root = math.sqrt(max(0.0, m * m - a * c))
    if a > 0 and q > 0:
        return Interval(lower=max(0.0, (m - root) / a), upper=max(0.0, (m + root) / a), confidence=confidence)
    if a <= 0 and c > 0 and m + root > 0:
        # (m − root)/a, written so that it neither cancels nor divides by an a of zero.
        return Interval(lower=c / (m + root), upper=None, confidence=confidence)
    # The numerator is unresolved too, or chance made the denominator clearly negative, which it cannot be.
    return nothing


def student_t_quantile(probability: float, degrees_of_freedom: int) -> float:
    """t with P(T ≤ t) = probability, for probability in (0, 1); error below 1e-9 in t for the usual levels."""
    if not 0.0 < probability < 1.0 or degrees_of_freedom < 1:
        raise InputError(f"no t quantile at probability {probability} with {degrees_of_freedom} degrees of freedom")
    if probability < 0.5:
        return -student_t_quantile(1.0 - probability, degrees_of_freedom)
    low, high = 0.0, 1.0
    while _student_t_below(high, degrees_of_freedom) < probability:
        high *= 2.0
    for _ in range(100):
        middle = 0.5 * (low + high)
        if _student_t_below(middle, degrees_of_freedom) < probability:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


@lru_cache(maxsize=256)
def _two_sided_t(confidence: float, degrees_of_freedom: int) -> float:
    return student_t_quantile(0.5 + 0.5 * confidence, degrees_of_freedom)


def _student_t_below(t: float, degrees_of_freedom: int) -> float:
    """P(T ≤ t) for t ≥ 0 = 1 − I_x(ν/2, 1/2)/2 with x = ν/(ν + t²)."""
    nu = float(degrees_of_freedom)
    return 1.0 - 0.5 * _incomplete_beta(nu / 2.0, 0.5, nu / (nu + t * t))


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """Regularised I_x(a, b), by the continued fraction of DLMF 8.17.22 on its fast side."""
    if x <= 0.0 or x >= 1.0:
        return min(1.0, max(0.0, x))
    if x > (a + 1.0) / (a + b + 2.0):
        return 1.0 - _incomplete_beta(b, a, 1.0 - x)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)) / a
    # Lentz's forward evaluation of 1/(1 + d₁/(1 + d₂/(1 + …))).
    tiny = 1e-300
    value, c, d = 1.0, 1.0, 0.0
    for step in range(400):
        half = step // 2
        if step == 0:
            term = 1.0
        elif step % 2 == 0:
            term = half * (b - half) * x / ((a + 2 * half - 1) * (a + 2 * half))
        else:
            term = -(a + half) * (a + b + half) * x / ((a + 2 * half) * (a + 2 * half + 1))
        d = 1.0 / (1.0 + term * d or tiny)
        c = 1.0 + term / c or tiny
        value *= c * d
        if step > 0 and abs(1.0 - c * d) < 1e-15:
            break
    return front * (value - 1.0)
