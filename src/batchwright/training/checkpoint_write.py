"""Checkpoints written: beside the training, all ranks at once, committed by one rename.

    step ─ copy into host buffers ─▶ next step …            the only part that training waits for
             └─▶ thread: write, hash, fsync ─▶ all ranks done ─▶ state.json ─▶ rename ─▶ forget old ones

Guarantee: built aside, every file and the directory synced, then renamed by the first rank when all ranks have
written: whatever the moment of a crash, the newest `step-N` is complete. At most one write is in flight; what goes
wrong in it is raised at the next step, and `finish` waits for it, so a run does not end before its last checkpoint
is committed. Where the memory for the copy is not there, the step waits for the write instead, and `waited` says so.

Price: host buffers of the size of a checkpoint (AdamW in fp32: 12·P bytes), reused and touched once beforehand
(fresh pages would triple the copy). The thread runs at a lower priority, so it takes what training leaves.
"""

import contextlib
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import Tensor

from batchwright.foundation.errors import CorruptDataError
from batchwright.foundation.files import TEMPORARY_SUFFIX, read_json, sync_directory, translated, write_json
from batchwright.foundation.fingerprint import fingerprint
from batchwright.training.checkpoint import FORMAT, MODEL, OPTIMIZER, SUFFIX, VERSION, Progress
from batchwright.training.ranks import Ranks
from batchwright.training.slices import Slice, owned, sharded
from batchwright.training.tensor_file import (
    DTYPE_NAMES,
    TensorFileLayout,
    bytes_of,
    copy_into,
    layout_of,
    write_tensors,
)

_NAME = re.compile(r"^step-(\d+)$")
_NICENESS = 10
_SPARE = 1.25  # memory that must be free, in sizes of a checkpoint


@dataclass(frozen=True, kw_only=True)
class Retention:
    """Which committed checkpoints stay."""

    last: int = 2  # the newest so many
    every_tokens: int | None = None  # and, for good, the first in every stretch of so many tokens

    def outdated(self, committed: Sequence[Path]) -> list[Path]:
        """Those to remove, of all of them, oldest first."""
        kept = milestones(committed, self.every_tokens)
        return [path for path in committed[: -self.last] if path not in kept]


def milestones(committed: Sequence[Path], every_tokens: int | None) -> set[Path]:
    """The checkpoints that stay for good: of those in one stretch of `every_tokens`, the first. None before the first
    stretch is over."""
    first: dict[int, Path] = {}
    if every_tokens is not None:
        for path in committed:
            first.setdefault(_tokens_of(path) // every_tokens, path)
    return {path for stretch, path in first.items() if stretch}


def _tokens_of(path: Path) -> int:
    """How far a checkpoint is; one that is damaged must not keep newer ones from being written, and is none to keep."""
    try:
        tokens = read_json(path / "state.json").get("tokens", 0)
    except (CorruptDataError, AttributeError):
        return 0
    return tokens if isinstance(tokens, int) else 0


class Checkpoints:
    """The checkpoints of one run. The writer holds the run directory's lock."""

    def __init__(self, directory: Path, *, retention: Retention | None = None) -> None:
        self.directory = directory
        self.retention = retention or Retention()

    def committed(self) -> list[Path]:
        """All complete checkpoints, oldest first."""
        if not self.directory.is_dir():
            return []
        found = [(int(match[1]), path) for path in self.directory.iterdir() if (match := _NAME.match(path.name))]
        return [path for _, path in sorted(found)]

    def newest(self) -> Path | None:
        committed = self.committed()
        return committed[-1] if committed else None

    def begin(self, step: int) -> Path:
        """An empty directory to build a checkpoint in."""
        building = self.building(step)
        with translated(building):
            shutil.rmtree(building, ignore_errors=True)
            building.mkdir(parents=True)
        return building

    def building(self, step: int) -> Path:
        return self.directory / f".step-{step}{TEMPORARY_SUFFIX}"

    def commit(self, progress: Progress, files: Sequence[Mapping[str, Any]]) -> Path:
        """Give what was built its name, then remove those that are too old. `files`: what each rank has written."""
        building, final = self.building(progress.step), self.directory / f"step-{progress.step}"
        state = {
            "format": FORMAT,
            "version": VERSION,
            "files": {name: seal for written in files for name, seal in written["files"].items()},
            "tensors": _listed(files),
            **vars(progress),
        }
        # A position with one flipped bit is a position, too: the state is sealed like the tensors.
        write_json(building / "state.json", {**state, "seal": fingerprint(state)})
        with translated(final):
            sync_directory(building)
            _remove(final)  # only ever an older try at the same step, which its owner chose not to resume from
            building.rename(final)
            sync_directory(self.directory)
            for path in self.retention.outdated(self.committed()):
                _remove(path)
        return final

    def forget_after(self, step: int) -> None:
        """Delete the checkpoints of later steps, the newest first."""
        later = [path for path in self.committed() if int(path.name.removeprefix("step-")) > step]
        for path in reversed(later):
            with translated(path):
                _remove(path)

    def remove_unfinished(self) -> None:
        """Delete what a killed writer left behind."""
        if self.directory.is_dir():
            for path in self.directory.glob(f".*{TEMPORARY_SUFFIX}"):
                shutil.rmtree(path, ignore_errors=True)


@dataclass(frozen=True, kw_only=True)
class _File:
    """One file of this rank: its name, and the slices it holds."""

    name: str
    kind: str
    slices: Mapping[str, Slice]
    layout: TensorFileLayout

    @property
    def tensors(self) -> dict[str, Tensor]:
        return {name: each.tensor for name, each in self.slices.items()}

    def entries(self) -> dict[str, Any]:
        return {
            name: {
                "shape": list(each.shape),
                "dtype": DTYPE_NAMES[each.tensor.dtype],
                "slices": [{"file": self.name, "first": each.first, "stop": each.stop}],
            }
            for name, each in self.slices.items()
        }


class CheckpointWriter:
    """Writes the checkpoints of a run on this rank, one at a time."""

    def __init__(self, checkpoints: Checkpoints, ranks: Ranks | None = None) -> None:
        self._checkpoints = checkpoints
        self._ranks = Ranks() if ranks is None else ranks
        self._beside = self._ranks.beside()
        self._buffers: dict[str, Tensor] = {}
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._prepared = False
        self.seconds = 0.0  # from the copy to the commit of the last one that was committed
        self.waited = 0  # checkpoints that a step had to wait for, because the memory for a copy was not there

    @property
    def prepared(self) -> bool:
        return self._prepared

    @property
    def writing(self) -> bool:
        """Whether one is on its way."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def failed(self) -> bool:
        """Whether `finish` would raise now."""
        return self._error is not None

    def prepare(self, weights: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> None:
        """Have the buffers ready before the first checkpoint is due, in a thread."""
        files, self._prepared = self._files(weights, state), True
        if self._there_is_room(files):
            self._start(lambda: self._touch(files))

    def write(
        self,
        progress: Progress,
        weights: Mapping[str, Tensor],
        state: Mapping[str, Tensor],
        *,
        first_sync: Callable[[], None] = lambda: None,
        wait: bool = False,
    ) -> None:
        """Commit a checkpoint: copy now, write meanwhile. With `wait`, it is committed on return and nothing is
        copied. `first_sync` brings to the disk what the checkpoint refers to; it is called before the commit, beside
        the training, because syncing waits for whatever else the disk has to do."""
        self.finish()
        files = self._files(weights, state)
        if wait or not self._there_is_room(files):
            self.waited += not wait
            self._write(progress, files, {file.name: bytes_of(file.layout, file.tensors) for file in files}, first_sync)
            return
        self._touch(files)
        for file in files:
            copy_into(self._buffers[file.kind], file.layout, file.tensors)
        payloads = {f.name: [self._buffers[f.kind].numpy().data[: f.layout.payload_bytes]] for f in files}
        self._start(lambda: self._write(progress, files, payloads, first_sync))

    def finish(self) -> None:
        """Wait for the write in flight; raises what went wrong in it."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _files(self, weights: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> list[_File]:
        """What this rank has to write."""
        part = f"-{self._ranks.rank + 1:05d}-of-{self._ranks.size:05d}" if sharded(weights) else ""
        found: list[_File] = []
        for kind, tensors in ((MODEL, weights), (OPTIMIZER, state)):
            slices = owned(tensors, self._ranks)
            if slices or self._ranks.first:
                layout = layout_of({name: each.tensor for name, each in slices.items()})
                found.append(_File(name=f"{kind}{part}{SUFFIX}", kind=kind, slices=slices, layout=layout))
        return found

    def _there_is_room(self, files: Sequence[_File]) -> bool:
        needed = sum(f.layout.payload_bytes for f in files if self._size_of(f.kind) < f.layout.payload_bytes)
        return needed * _SPARE <= psutil.virtual_memory().available

    def _size_of(self, kind: str) -> int:
        return self._buffers[kind].numel() if kind in self._buffers else 0

    def _touch(self, files: Sequence[_File]) -> None:
        for file in files:
            if file.kind not in self._buffers or self._size_of(file.kind) < file.layout.payload_bytes:
                self._buffers.pop(file.kind, None)
                self._buffers[file.kind] = torch.empty(file.layout.payload_bytes, dtype=torch.uint8).fill_(0)

    def _start(self, act: Any) -> None:
        self._thread = threading.Thread(target=self._guarded, args=(act,), daemon=True, name="checkpoint")
        self._thread.start()

    def _guarded(self, act: Any) -> None:
        with contextlib.suppress(OSError, AttributeError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)  # of this thread alone, on Linux
        try:
            act()
        except BaseException as error:  # raised where the run looks
            self._error = error

    def _write(
        self,
        progress: Progress,
        files: Sequence[_File],
        payloads: Mapping[str, Any],
        first_sync: Callable[[], None],
    ) -> None:
        """All ranks write, then the first one commits."""
        begun = time.monotonic()
        ranks, first = self._beside, self._beside.first
        ranks.together(lambda: self._checkpoints.begin(progress.step) if first else None)
        building = self._checkpoints.building(progress.step)
        seals = ranks.together(
            lambda: {f.name: write_tensors(building / f.name, f.layout, payloads[f.name]) for f in files}
        )
        ranks.together(first_sync)
        written = ranks.gather({"files": seals, "entries": {f.name: [f.kind, f.entries()] for f in files}})
        ranks.together(lambda: self._checkpoints.commit(progress, written) if first else None)
        self.seconds = time.monotonic() - begun


def _listed(files: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Each tensor with all its slices, in the order of ranks."""
    found: dict[str, dict[str, Any]] = {MODEL: {}, OPTIMIZER: {}}
    for written in files:
        for kind, entries in written["entries"].values():
            for name, entry in entries.items():
                known = found[kind].setdefault(name, {**entry, "slices": []})
                known["slices"].extend(entry["slices"])
    return found


def _remove(path: Path) -> None:
    """Delete a checkpoint so that a crash in between leaves no half of one under its real name."""
    if path.exists():
        doomed = path.with_name(f".{path.name}.removed{TEMPORARY_SUFFIX}")
        shutil.rmtree(doomed, ignore_errors=True)
        path.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)
