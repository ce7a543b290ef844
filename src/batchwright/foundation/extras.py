"""Packages that are not always installed, and the one sentence that says how to get them.

Guarantee: whatever needs an extra asks here, so a missing one is an InputError with the command that installs it, and
never a traceback. Price: a dictionary lookup.
"""

import importlib
from typing import Any

from batchwright.foundation.errors import InputError

EXTRAS = {
    "torch": "train",
    "matplotlib": "train",
    "transformers": "hf",
    "tensorboard": "tensorboard",
    "ray": "ray",
    "ftfy": "text",
}
"""Top-level package → the extra of batchwright that brings it."""


class MissingExtraError(InputError):
    """A package that this asks for is not installed."""


def extra_missing(package: str, wanted_by: str) -> MissingExtraError | None:
    """The error for an absent package (a dotted module name will do); None when no extra brings it."""
    name = package.partition(".")[0]
    if name not in EXTRAS:
        return None
    return MissingExtraError(
        f"{wanted_by} needs {name}, which is not installed",
        remedy=f"pip install 'batchwright[{EXTRAS[name]}]'",
    )


def import_extra(module: str, wanted_by: str) -> Any:
    """Import a module of an extra. Raises MissingExtraError."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = extra_missing(error.name or module, wanted_by)
        if missing is None:
            raise
        raise missing from error
