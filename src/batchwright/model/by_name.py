"""A model by the name of the function that builds it: `module:function`, found as Python finds it, or in the directory
where the command runs.

    def build(*, vocabulary_size: int, sequence_length: int, width: int = 64) -> nn.Module: …

Guarantee: the module is used as it is, its weights keep their names; what it lacks of the protocol is said with the
method and an example. Price: the import. It is the user's own code and runs with their rights; a checkpoint alone never
makes us run it (`training.checkpoint.load_model`).
"""

import importlib
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from batchwright.foundation.errors import InputError
from batchwright.model.description import FunctionModel

EXAMPLE = "def forward(self, ids, position_ids, *, isolate=True, lengths=None): ...  # (B, T) → (B, T, V)"


def build_by_name(description: FunctionModel) -> nn.Module:
    """Call the function. Raises InputError: no such module or function, other arguments, not a model."""
    function = _function(description.function)
    given = {
        "vocabulary_size": description.vocabulary_size,
        "sequence_length": description.sequence_length,
        **description.arguments,
    }
    try:
        inspect.signature(function).bind(**given)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"it cannot be called with {', '.join(given)}: {error}",
            where=description.function,
            remedy="it takes vocabulary_size, sequence_length and the keys of [model.arguments] by name",
        ) from error
    model = function(**given)
    _check_form(model, description.function)
    return model


def _function(name: str) -> Callable[..., Any]:
    module_name, _, path = name.partition(":")
    try:
        found: Any = _module(module_name)
    except ModuleNotFoundError as error:
        raise InputError(
            f"there is no module {error.name!r}",
            where=name,
            remedy="run from the directory that holds it, or install it",
        ) from error
    for part in path.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        raise InputError(f"the module {module_name} has no function {path!r}", where=name)
    return found


def _module(name: str) -> Any:
    """Import it; a file beside the recipe counts, though an installed command does not look there by itself."""
    top = name.partition(".")[0]
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        here = Path.cwd()
        if error.name != top or not ((here / f"{top}.py").exists() or (here / top).is_dir()):
            raise
    sys.path.append(str(here))
    try:
        importlib.invalidate_caches()
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(here))


def _check_form(model: object, name: str) -> None:
    """The protocol of `protocol`, as far as it can be seen without running the model."""
    if not isinstance(model, nn.Module):
        raise InputError(f"it returned a {type(model).__name__}, and a torch.nn.Module is needed", where=name)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise InputError("the module has no weights to train", where=name)
    if hasattr(model, "hidden") != hasattr(model, "output_weight"):
        there, missing = ("hidden", "output_weight")[:: 1 if hasattr(model, "hidden") else -1]
        raise InputError(
            f"the model has {there} and no {missing}",
            where=name,
            remedy="both, when the scores are hidden · output_weightᵀ: hidden(ids, position_ids, *, isolate, lengths) "
            "→ (B, T, D) and the (V, D) parameter; or neither, and forward gives the scores",
        )
    methods = ["forward", *(["hidden"] if hasattr(model, "hidden") else [])]
    for method in methods:
        try:
            inspect.signature(getattr(model, method)).bind(None, None, isolate=True, lengths=None)
        except (TypeError, ValueError) as error:
            raise InputError(
                f"{type(model).__name__}.{method} cannot be called as the trainer does: {error}",
                where=name,
                remedy=EXAMPLE.replace("forward", method).replace("V)", "D)" if method == "hidden" else "V)"),
            ) from error
