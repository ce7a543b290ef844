"""Which rows of a tensor this rank holds: the seam between FSDP's sharded tensors and files.

A sharded tensor is cut along its first dimension of n rows into pieces of ceil(n / ranks), the last ones shorter or
empty; that is what `fully_shard` does, and it is checked here. Everything else is whole. Price: none.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from batchwright.foundation.errors import InputError
from batchwright.training.ranks import Ranks


@dataclass(frozen=True, kw_only=True)
class Slice:
    """Rows [first, stop) of a tensor of `shape`; a tensor without dimensions has one row."""

    tensor: Tensor
    shape: tuple[int, ...]
    first: int
    stop: int


def place_of(tensor: Tensor) -> tuple[int, int] | None:
    """[first, stop): the rows of a sharded tensor that this rank holds; None: the tensor is whole."""
    if not hasattr(tensor, "device_mesh"):
        return None
    sharded: Any = tensor
    (placement,) = sharded.placements
    assert placement.is_shard(0)
    rank, size = sharded.device_mesh.get_local_rank(), sharded.device_mesh.size()
    rows = sharded.shape[0]
    each = -(-rows // size)
    first, stop = min(rank * each, rows), min((rank + 1) * each, rows)
    assert sharded.to_local().shape[0] == stop - first
    return first, stop


def check_sliceable(shape: Sequence[int], like: Tensor, *, name: str) -> None:
    """Raises InputError when an optimizer keeps something of another shape beside a weight that is sharded: which of
    its rows belong to which rank, only the optimizer knows. A single number belongs to all."""
    if place_of(like) is not None and math.prod(shape) > 1 and tuple(shape) != tuple(like.shape):
        raise InputError(
            f"the optimizer keeps {name} of shape {list(shape)} beside a weight of {list(like.shape)}, and FSDP slices "
            "only what is shaped as its weight",
            remedy='parallel = "ddp"',
        )


def with_rows(like: Tensor, rows: Tensor) -> Tensor:
    """A tensor sharded as `like`, made of this rank's rows."""
    from torch.distributed.tensor import DTensor

    sharded: Any = like
    return DTensor.from_local(
        rows,
        sharded.device_mesh,
        sharded.placements,
        run_check=False,
        shape=sharded.shape,
        stride=sharded.stride(),
    )


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor, also of one whose parts lie on several ranks; all of them must ask."""
    return tensor if not hasattr(tensor, "full_tensor") else tensor.full_tensor()  # type: ignore[operator]


def owned(tensors: Mapping[str, Tensor], ranks: Ranks) -> dict[str, Slice]:
    """What this rank writes of them, so that together every row is written once: its own rows of what is sharded, and
    on the first rank all that is whole."""
    found: dict[str, Slice] = {}
    for name, tensor in tensors.items():
        rows, shape = place_of(tensor), tuple(tensor.shape)
        if rows is not None and rows[0] < rows[1]:
            local: Any = tensor
            found[name] = Slice(tensor=local.to_local(), shape=shape, first=rows[0], stop=rows[1])
        elif rows is None and ranks.first:
            found[name] = Slice(tensor=tensor, shape=shape, first=0, stop=shape[0] if shape else 1)
    return found


def sharded(tensors: Mapping[str, Tensor]) -> bool:
    """Whether the ranks hold different rows of any of them."""
    return any(place_of(tensor) is not None for tensor in tensors.values())
