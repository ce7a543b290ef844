"""What the filters' thresholds have in common: they are finite numbers, and shares of nothing are 0."""

import math
from dataclasses import fields
from typing import Any

from batchwright.foundation.errors import InputError


def share(part: int, whole: int) -> float:
    """part / whole; 0 of nothing."""
    return part / whole if whole else 0.0


def require_numbers(step: Any) -> None:
    """Raises InputError unless every field of a filter with a number as default is a finite number, not below 0."""
    for field in fields(step):
        value = getattr(step, field.name)
        if isinstance(field.default, bool) or not isinstance(field.default, int | float):
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
            raise InputError(
                f"{step.name}: {field.name} is {value!r}; it is a number that is not negative",
                remedy=f"{field.default} is the published one",
            )
