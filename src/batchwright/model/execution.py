"""How the passes of a model are carried out: what is kept for the backward, in which precision, compiled or not. No
torch here; `prepared` does it to a module.

Guarantee: recomputing changes no bit of loss or gradient. The other two do, so they belong to what names a run. Price:

    activation_checkpointing   none       everything the backward needs is kept
                               selective  products of matrices and attention are kept, the rest is made again
                               full       a layer keeps its input alone and is run twice: a third more work
    precision                  fp32       weights and products
                               bf16       weights and optimizer fp32, products bf16 (autocast), loss fp32
    compile                    true       torch.compile of every layer: seconds to minutes at the first step
"""

from dataclasses import dataclass
from typing import Literal, get_args

from batchwright.foundation.errors import InputError, nearest

ActivationCheckpointing = Literal["none", "selective", "full"]
Precision = Literal["fp32", "bf16"]

_CHOICES = {"activation_checkpointing": get_args(ActivationCheckpointing), "precision": get_args(Precision)}


@dataclass(frozen=True, kw_only=True)
class Execution:
    """One way; the default is the plainest."""

    activation_checkpointing: ActivationCheckpointing = "none"
    precision: Precision = "fp32"
    compile: bool = False

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            value = getattr(self, name)
            if value not in choices:
                near = nearest(str(value), choices)
                raise InputError(
                    f"{name} is {value!r}, and must be one of {', '.join(choices)}",
                    remedy=f"did you mean {near!r}?" if near else None,
                )
        if self.compile and self.activation_checkpointing != "none":
            raise InputError(
                f'compile = true and activation_checkpointing = "{self.activation_checkpointing}" exclude each other: '
                "the compiler chooses by itself what to recompute",
                remedy="leave one of the two out",
            )


PLAIN = Execution()
"""Everything kept, in fp32, as written."""
