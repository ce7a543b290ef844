"""Checkpoints: a directory `step-N` that is there whole or not at all, readable without us, free of code.

    model.safetensors       the weights by name
    optimizer.safetensors   the optimizer's state by name (see `optimizer`): exp_avg … `/` the weight's name
    state.json              position and plan of the data, tokens, both configurations, length and hash of the log,
                            versions, size and xxh3-128 of the two files above, and its own seal

Guarantee: built aside, every file and the directory synced, then renamed: whatever the moment of a crash, the newest
`step-N` is complete. Every byte is checked when it is read. Price: 12·P bytes written per checkpoint (0.25 M weights:
3 MB, ~10 ms; 124 M: 1.5 GB), during which training waits; `keep` of them stay, and
with `keep_every_tokens` one of every such stretch for good.
"""

import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from batchwright.foundation.errors import CorruptDataError, InputError, ResourceError
from batchwright.foundation.files import TEMPORARY_SUFFIX, read_json, sync_directory, translated, write_json
from batchwright.foundation.fingerprint import fingerprint, hash_file
from batchwright.model.description import FunctionModel, ModelDescription, description_of
from batchwright.model.protocol import build_model
from batchwright.sequences.plan import differing
from batchwright.training.optimizer import optimizer_tensors, restore_optimizer

FORMAT = "batchwright-checkpoint"
VERSION = 1
TENSOR_FILES = ("model.safetensors", "optimizer.safetensors")
_NAME = re.compile(r"^step-(\d+)$")


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
    machine: dict[str, Any]  # threads and versions; for people, never compared


class Checkpoints:
    """The checkpoints of one run. The writer holds the run directory's lock."""

    def __init__(self, directory: Path, *, keep: int = 2, keep_every_tokens: int | None = None) -> None:
        self.directory = directory
        self._keep, self._keep_every_tokens = keep, keep_every_tokens

    def committed(self) -> list[Path]:
        """All complete checkpoints, oldest first."""
        if not self.directory.is_dir():
            return []
        found = [(int(match[1]), path) for path in self.directory.iterdir() if (match := _NAME.match(path.name))]
        return [path for _, path in sorted(found)]

    def newest(self) -> Path | None:
        committed = self.committed()
        return committed[-1] if committed else None

    def write(self, progress: Progress, model: nn.Module, optimizer: torch.optim.Optimizer) -> Path:
        """Commit a checkpoint, then remove those that are too old."""
        final = self.directory / f"step-{progress.step}"
        building = self.directory / f".{final.name}{TEMPORARY_SUFFIX}"
        with translated(building):
            shutil.rmtree(building, ignore_errors=True)
            building.mkdir(parents=True)
        weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
        for name, tensors in zip(TENSOR_FILES, (weights, optimizer_tensors(model, optimizer)), strict=True):
            _save(building / name, tensors)
        sealed = {name: _seal(building / name) for name in TENSOR_FILES}
        state = {"format": FORMAT, "version": VERSION, "files": sealed, **vars(progress)}
        # A position with one flipped bit is a position, too: the state is sealed like the tensors.
        write_json(building / "state.json", {**state, "seal": fingerprint(state)})
        with translated(final):
            sync_directory(building)
            _remove(final)  # only ever an older try at the same step, which its owner chose not to resume from
            building.rename(final)
            sync_directory(self.directory)
        kept = milestones(self.committed(), self._keep_every_tokens)
        self._forget(path for path in self.committed()[: -self._keep] if path not in kept)
        return final

    def forget_after(self, step: int) -> None:
        """Delete the checkpoints of later steps, the newest first."""
        later = [path for path in self.committed() if int(path.name.removeprefix("step-")) > step]
        self._forget(reversed(later))

    def remove_unfinished(self) -> None:
        """Delete what a killed writer left behind."""
        if self.directory.is_dir():
            for path in self.directory.glob(f".*{TEMPORARY_SUFFIX}"):
                shutil.rmtree(path, ignore_errors=True)

    def _forget(self, paths: Iterable[Path]) -> None:
        for path in paths:
            with translated(path):
                _remove(path)


def milestones(committed: Iterable[Path], every_tokens: int | None) -> set[Path]:
    """The checkpoints that stay for good: of those in one stretch of `every_tokens`, the first. None before the first
    stretch is over."""
    first: dict[int, Path] = {}
    if every_tokens is not None:
        for path in committed:
            tokens = read_json(path / "state.json").get("tokens", 0)
            first.setdefault(tokens // every_tokens, path)
    return {path for stretch, path in first.items() if stretch}


def read_progress(path: Path) -> Progress:
    """The state of a checkpoint, its files checked byte by byte. Raises CorruptDataError, InputError."""
    state = read_json(path / "state.json")
    remedy = f"remove {path.name} to go on from the checkpoint before it"
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise CorruptDataError(f"this is not a {FORMAT}", where=str(path / "state.json"), remedy=remedy)
    if state.get("version") != VERSION:
        raise InputError(
            f"a checkpoint of format version {state.get('version')}, and this batchwright reads version {VERSION}",
            where=str(path),
        )
    try:
        sound = state.pop("seal", None) == fingerprint(state)
    except ValueError:  # 1e999 is JSON, and infinity is not
        sound = False
    if not sound:
        raise CorruptDataError(
            "the checkpoint's state was changed after it was written", where=str(path / "state.json"), remedy=remedy
        )
    try:
        progress = Progress(**{name: state[name] for name in Progress.__dataclass_fields__})
        sealed = {name: state["files"][name] for name in TENSOR_FILES}
    except (KeyError, TypeError) as error:
        raise CorruptDataError(f"the checkpoint's state lacks {error}", where=str(path), remedy=remedy) from error
    for name, seal in sealed.items():
        with translated(path / name):
            found = _seal(path / name, sync=False)
        if found != seal:
            raise CorruptDataError(
                f"{found['bytes']:,} bytes with checksum {found['xxh3']}, written were {seal['bytes']:,} with "
                f"{seal['xxh3']}",
                where=str(path / name),
                remedy=remedy,
            )
    return progress


def restore(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Put weights and optimizer state of a (checked) checkpoint in place."""
    _restore_weights(path, model)
    restore_optimizer(model, optimizer, _load(path / TENSOR_FILES[1]))


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
    _restore_weights(path, model)
    return model


@torch.no_grad()
def _restore_weights(path: Path, model: nn.Module) -> None:
    tensors = _load(path / TENSOR_FILES[0])
    for name, parameter in model.named_parameters():
        if name not in tensors or tensors[name].shape != parameter.shape:
            found = list(tensors[name].shape) if name in tensors else "missing"
            raise InputError(f"weight {name} is {found}, the model needs {list(parameter.shape)}", where=str(path))
        parameter.copy_(tensors[name])


def _save(path: Path, tensors: dict[str, Tensor]) -> None:
    try:
        with translated(path):
            safetensors.torch.save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    except safetensors.SafetensorError as error:
        # The library wraps the operating system's error in its own words.
        if "No space left" in str(error) or "os error 28" in str(error):
            raise ResourceError(
                "the disk is full", where=str(path), remedy="free some space and run it again"
            ) from error
        raise InputError(f"the checkpoint cannot be written: {error}", where=str(path)) from error


def _load(path: Path) -> dict[str, Tensor]:
    try:
        with translated(path):
            return safetensors.torch.load_file(path)
    except safetensors.SafetensorError as error:
        raise CorruptDataError(f"this is not a safetensors file ({error})", where=str(path)) from error


def _seal(path: Path, *, sync: bool = True) -> dict[str, Any]:
    if sync:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    size, digest = hash_file(path)
    return {"bytes": size, "xxh3": digest}


def _remove(path: Path) -> None:
    """Delete a checkpoint so that a crash in between leaves no half of one under its real name."""
    if path.exists():
        doomed = path.with_name(f".{path.name}.removed{TEMPORARY_SUFFIX}")
        shutil.rmtree(doomed, ignore_errors=True)
        path.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)
