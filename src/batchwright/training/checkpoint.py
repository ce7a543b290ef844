"""Checkpoints read: a directory `step-N` that is there whole or not at all, readable without us, free of code.

    model.safetensors       the weights by name
    optimizer.safetensors   the optimizer's state by name: `exp_avg/` and the weight's name …
    state.json              position and plan of the data, tokens, both configurations, length and hash of the log,
                            versions, size and xxh3-128 of the files, where each tensor's rows stand, and its own seal

Sharded ranks write slices, `model-00001-of-00002.safetensors` …: contiguous rows of each tensor's first dimension.
Guarantee: any number of ranks, in any form, restores what any other wrote; only the rows that a rank holds are read
into memory. Every byte is checked when it is read, each file by one rank. Format version 1 (no slices) is read too.
Price: reading all files once (hashing ~10 GB/s) and the rows wanted once more.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import torch
from torch import Tensor, nn

from batchwright.foundation.errors import CorruptDataError, InputError
from batchwright.foundation.files import read_json, safe_name, translated
from batchwright.foundation.fingerprint import fingerprint, hash_file
from batchwright.model.description import FunctionModel, ModelDescription, description_of
from batchwright.model.protocol import build_model
from batchwright.sequences.plan import differing
from batchwright.training.optimizer import BETAS, restore_optimizer
from batchwright.training.ranks import Ranks
from batchwright.training.slices import check_sliceable, place_of, with_rows

FORMAT = "batchwright-checkpoint"
VERSION = 2
MODEL, OPTIMIZER = "model", "optimizer"
SUFFIX = ".safetensors"


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a run stands, as far as tensors do not say it."""

    step: int  # updates made
    tokens: int  # slots seen
    data: dict[str, Any]  # the loader's state: position and plan
    log_bytes: int  # length of metrics.jsonl
    log_xxh3: str  # its content, so far
    model: dict[str, Any]  # ModelDescription.to_dict()
    training: dict[str, Any]  # TrainingConfig.same_run()
    machine: dict[str, Any]  # ranks, threads and versions; for people, never compared


def read_progress(path: Path, ranks: Ranks | None = None) -> Progress:
    """The state of a checkpoint, its files checked byte by byte, shared among the ranks. Raises CorruptDataError,
    InputError."""
    state = _state(path)
    remedy = _remedy(path)
    try:
        progress = Progress(**{name: state[name] for name in Progress.__dataclass_fields__})
        sealed = {safe_name(name): (seal["bytes"], seal["xxh3"]) for name, seal in state["files"].items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise CorruptDataError(f"the checkpoint's state lacks {error}", where=str(path), remedy=remedy) from error
    rank, size = (0, 1) if ranks is None else (ranks.rank, ranks.size)
    for name in sorted(sealed)[rank::size]:
        with translated(path / name):
            found = hash_file(path / name)
        if found != sealed[name]:
            raise CorruptDataError(
                f"{found[0]:,} bytes with checksum {found[1]}, written were {sealed[name][0]:,} with {sealed[name][1]}",
                where=str(path / name),
                remedy=remedy,
            )
    return progress


def restore(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Put weights and optimizer state of a (checked) checkpoint in place, this rank's rows of them."""
    restore_weights(path, model)
    parameters = dict(model.named_parameters())
    with _Tensors(path, OPTIMIZER) as stored:
        tensors: dict[str, Tensor] = {}
        for full_name in stored.shapes:
            kind, _, name = full_name.partition("/")
            shape, like = stored.shapes[full_name], None if kind == BETAS else parameters.get(name)
            if like is not None:
                check_sliceable(shape, like, name=full_name)
            rows = place_of(like) if like is not None and shape == list(like.shape) else None
            tensor = stored.read(full_name, rows)
            tensors[full_name] = tensor if like is None or rows is None else with_rows(like, tensor)
    restore_optimizer(model, optimizer, tensors)


@torch.no_grad()
def restore_weights(path: Path, model: nn.Module) -> None:
    """Put the weights of a (checked) checkpoint in place, this rank's rows of them."""
    with _Tensors(path, MODEL) as stored:
        for name, parameter in model.named_parameters():
            if stored.shapes.get(name) != list(parameter.shape):
                found = stored.shapes.get(name, "missing")
                raise InputError(f"weight {name} is {found}, the model needs {list(parameter.shape)}", where=str(path))
            rows = place_of(parameter)
            local = parameter if rows is None else parameter.to_local()  # type: ignore[operator]
            local.copy_(stored.read(name, rows))


def load_model(path: Path, description: ModelDescription | None = None) -> nn.Module:
    """The model of a checkpoint, for evaluating or sampling. Raises CorruptDataError, InputError.

    `description` is needed only for a function's model: a checkpoint is data, and names no code that we would run.
    """
    progress = read_progress(path)
    theirs = description_of(progress.model)
    if description is None and isinstance(theirs, FunctionModel):
        raise InputError(
            f"the model of this checkpoint is built by {theirs.function}, which only its owner may have run",
            where=str(path),
            remedy=f"load_model(path, FunctionModel(function={theirs.function!r}, …))",
        )
    wanted = theirs if description is None else description
    differences = list(differing({"model": theirs.to_dict()}, {"model": wanted.to_dict()}))
    if differences:
        raise InputError(f"the checkpoint holds another model: {'; '.join(differences)}", where=str(path))
    model = build_model(wanted, seed=0, read=False)
    restore_weights(path, model)
    return model


class _Tensors:
    """The tensors of one kind, whichever files their rows are in."""

    def __init__(self, path: Path, kind: str) -> None:
        self._path, self._stack, self._files = path, ExitStack(), dict[str, Any]()
        state = _state(path)
        entries = state["tensors"][kind] if state["version"] > 1 else self._all_of(kind + SUFFIX)
        self._slices: dict[str, Any] = {name: entry["slices"] for name, entry in entries.items()}
        self.shapes: dict[str, list[int]] = {name: entry["shape"] for name, entry in entries.items()}

    def __enter__(self) -> "_Tensors":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def read(self, name: str, rows: tuple[int, int] | None) -> Tensor:
        """Rows [first, stop) of a tensor; None: all of it."""
        if not self.shapes[name]:
            return self._file(self._slices[name][0]["file"]).get_tensor(name)
        first, stop = (0, self.shapes[name][0]) if rows is None else rows
        parts: list[Tensor] = []
        for piece in self._slices[name]:
            begin, end = max(first, piece["first"]), min(stop, piece["stop"])
            if begin < end:
                stored = self._file(piece["file"]).get_slice(name)
                parts.append(stored[begin - piece["first"] : end - piece["first"]])
        if sum(len(part) for part in parts) != stop - first:
            raise CorruptDataError(
                f"not all of the rows {first} to {stop} of {name} are there",
                where=str(self._path),
                remedy=_remedy(self._path),
            )
        if not parts:
            return torch.empty((0, *self.shapes[name][1:]))
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _file(self, name: str) -> Any:
        if name not in self._files:
            place = self._path / safe_name(name)
            try:
                with translated(place):
                    self._files[name] = self._stack.enter_context(safetensors.safe_open(place, framework="pt"))
            except safetensors.SafetensorError as error:
                raise CorruptDataError(f"this is not a safetensors file ({error})", where=str(place)) from error
        return self._files[name]

    def _all_of(self, name: str) -> dict[str, Any]:
        """Version 1 does not list what its two files hold."""
        shapes = {key: list(self._file(name).get_slice(key).get_shape()) for key in self._file(name).keys()}  # noqa: SIM118
        return {
            key: {"shape": shape, "slices": [{"file": name, "first": 0, "stop": shape[0] if shape else 1}]}
            for key, shape in shapes.items()
        }


def _state(path: Path) -> Mapping[str, Any]:
    """`state.json`, its seal checked."""
    state = read_json(path / "state.json")
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise CorruptDataError(f"this is not a {FORMAT}", where=str(path / "state.json"), remedy=_remedy(path))
    if state.get("version") not in range(1, VERSION + 1):
        raise InputError(
            f"a checkpoint of format version {state.get('version')}, and this batchwright reads up to {VERSION}",
            where=str(path),
        )
    try:
        sound = state.pop("seal", None) == fingerprint(state)
    except ValueError:  # 1e999 is JSON, and infinity is not
        sound = False
    if not sound:
        raise CorruptDataError(
            "the checkpoint's state was changed after it was written",
            where=str(path / "state.json"),
            remedy=_remedy(path),
        )
    return state


def _remedy(path: Path) -> str:
    return f"remove {path.name} to go on from the checkpoint before it"
