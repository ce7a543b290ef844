"""A function that a recipe names: `package.module:function`.

Guarantee: the module is imported as Python would import it (installed, or on PYTHONPATH), nothing is downloaded or
evaluated; what is missing is named. Whoever runs a recipe runs what it names: read it as you read a script.
"""

import importlib
import re
from collections.abc import Callable
from typing import Any

from batchwright.foundation.errors import InputError, nearest

NAME = re.compile(r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$")


def function_named(name: str, *, purpose: str) -> Callable[..., Any]:
    """The function; `purpose` completes "… names as". Raises InputError."""
    if not NAME.match(name):
        raise InputError(f"{name!r} does not name {purpose}", remedy="package.module:function")
    module_name, _, function = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise InputError(
            f"{purpose} is named as {name}, and the module cannot be imported: {error}",
            remedy="install its package, or put its directory on PYTHONPATH",
        ) from error
    found = getattr(module, function, None)
    if not callable(found):
        near = nearest(function, [each for each in vars(module) if not each.startswith("_")])
        raise InputError(
            f"{purpose} is named as {name}, and {module_name} has no function {function!r}",
            where=str(getattr(module, "__file__", module_name)),
            remedy=None if near is None else f"did you mean {near!r}?",
        )
    return found
