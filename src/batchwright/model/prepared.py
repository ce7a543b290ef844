"""A module made to run as an `Execution` says, in place: its weights, their names and its protocol stay.

Price: nothing for the default. `compile` compiles at the first call, once per shape of the batch, which takes
far longer than a step; on a CPU it needs a C++ compiler (on a GPU: Triton). Compiled kernels add in another order, so
the curve is another one in its last bits; twice the same run gives twice the same bits, also compiled (torch's
deterministic mode holds for them as well), as long as torch and the machine are the same.
"""

import importlib.util
import os
import shutil

from torch import nn

from batchwright.foundation.errors import InputError
from batchwright.model.execution import Execution
from batchwright.model.precision import compute_in
from batchwright.model.protocol import blocks_of
from batchwright.model.recompute import recompute_blocks


def prepare(model: nn.Module, execution: Execution) -> None:
    """Make `model` run so. Raises InputError where that cannot be: no layers that it names, no compiler."""
    blocks = blocks_of(model)
    wanted = execution.activation_checkpointing != "none" or execution.compile
    if wanted and not blocks:
        raise InputError(
            f"{type(model).__name__} does not say what its layers are, so none can be recomputed or compiled",
            remedy='give it an attribute `blocks`, or leave activation_checkpointing = "none" and compile = false',
        )
    recompute_blocks(blocks, execution.activation_checkpointing)
    if execution.compile:
        check_compiler(next(model.parameters()).device.type)
        for block in blocks:
            block.compile()
    compute_in(model, execution.precision)


def check_compiler(device: str) -> None:
    """Raises InputError where torch.compile would find nothing to compile with."""
    if device == "cuda":
        if importlib.util.find_spec("triton") is None:
            raise InputError("compile = true needs Triton on a GPU", remedy="pip install triton, or compile = false")
        return
    wished = os.environ.get("CXX")
    if not any(shutil.which(name) for name in ([wished] if wished else ["g++", "clang++", "cl"])):
        raise InputError(
            f"compile = true needs a C++ compiler on a CPU, and there is no {wished or 'g++ or clang++'}",
            remedy="install one (apt install g++), or compile = false",
        )
