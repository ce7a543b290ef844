"""A checkpoint is there whole or not at all, at every durable operation of writing it."""

import contextlib
import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from batchwright.foundation.errors import CorruptDataError, InputError, ResourceError
from batchwright.foundation.files import read_json, write_json
from batchwright.foundation.fingerprint import fingerprint
from batchwright.model.config import ModelConfig
from batchwright.model.transformer import Transformer
from batchwright.training.checkpoint import Checkpoints, Progress, load_model, read_progress, restore
from batchwright.training.config import TrainingConfig
from batchwright.training.optimizer import build_optimizer

SHAPE = ModelConfig(vocabulary_size=11, sequence_length=4, width=4, layers=1, heads=1, feed_forward_width=4)
TRAINING = TrainingConfig(global_batch_size=1, micro_batch_size=1, sequence_length=4, tokens=99, learning_rate=1.0)


class Crash(BaseException):
    """Passes through every handler, as the end of a process does."""


def trained(seed: int) -> tuple[Transformer, torch.optim.AdamW]:
    model = Transformer(SHAPE, seed=seed)
    optimizer = build_optimizer(model, TRAINING)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    return model, optimizer


def progress(step: int) -> Progress:
    return Progress(
        step=step,
        tokens=4 * step,
        data={"position": step, "plan": "p"},
        log_bytes=100 * step,
        log_xxh3="0" * 32,
        model=SHAPE.to_dict(),
        training=TRAINING.same_run(),
        machine={"threads": 1},
    )


def crash_at(patch: pytest.MonkeyPatch, operation: int) -> Callable[[], int]:
    """Crash at the n-th operation that changes the disk for good; returns a count of those that happened."""
    seen = 0

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **names: Any) -> Any:
            nonlocal seen
            seen += 1
            if seen == operation:
                raise Crash
            return real(*arguments, **names)

        return call

    for home, name in (
        (os, "fsync"),
        (os, "replace"),
        (os, "rename"),
        (os, "mkdir"),
        (shutil, "rmtree"),
        (safetensors.torch, "save_file"),
    ):
        patch.setattr(home, name, counted(getattr(home, name)))
    return lambda: seen


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    model, optimizer = trained(1)
    path = Checkpoints(tmp_path).write(progress(3), model, optimizer)
    assert read_progress(path) == progress(3)
    again = Transformer(SHAPE, seed=9)
    fresh = build_optimizer(again, TRAINING)
    restore(path, again, fresh)
    for a, b in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)
        assert torch.equal(optimizer.state[a]["exp_avg_sq"], fresh.state[b]["exp_avg_sq"])
    assert torch.equal(load_model(path).embedding.weight, model.embedding.weight)


def test_at_whatever_operation_it_crashes_the_newest_is_whole(tmp_path: Path) -> None:
    old, new = trained(1), trained(2)
    operation, finished = 0, False
    while not finished:
        operation += 1
        directory = tmp_path / str(operation)
        Checkpoints(directory, keep=1).write(progress(3), *old)
        with pytest.MonkeyPatch.context() as patch:
            happened = crash_at(patch, operation)
            with contextlib.suppress(Crash):
                Checkpoints(directory, keep=1).write(progress(4), *new)
            finished = happened() < operation
        after = Checkpoints(directory, keep=1)
        newest = after.newest()
        assert newest is not None
        expected = old if read_progress(newest).step == 3 else new
        assert torch.equal(load_model(newest).embedding.weight, expected[0].embedding.weight)
        after.remove_unfinished()
        assert all(path.name.startswith("step-") for path in directory.iterdir())
        again = after.write(progress(4), *new)
        assert [path.name for path in after.committed()] == ["step-4"]
        assert read_progress(again) == progress(4)
    assert operation > 8


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full"),
        (
            safetensors.SafetensorError("Error while serializing: I/O error: No space left on device"),
            "the disk is full",
        ),
    ],
)
def test_a_full_disk_is_said_and_the_checkpoint_before_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: Exception, words: str
) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.write(progress(3), *trained(1))

    def full(*_: object) -> None:
        raise trouble

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    with pytest.raises(ResourceError, match=words):
        checkpoints.write(progress(4), *trained(2))
    assert [path.name for path in checkpoints.committed()] == ["step-3"]


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "state.json"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    path = Checkpoints(tmp_path).write(progress(3), *trained(1))
    (path / name).unlink()
    with pytest.raises(InputError) as caught:
        read_progress(path)
    assert name in str(caught.value)


def test_a_state_of_another_kind_or_version_is_refused(tmp_path: Path) -> None:
    path = Checkpoints(tmp_path).write(progress(3), *trained(1))
    state = read_json(path / "state.json")
    write_json(path / "state.json", {**state, "version": 2})
    with pytest.raises(InputError, match="format version 2"):
        read_progress(path)
    write_json(path / "state.json", {**state, "format": "something"})
    with pytest.raises(CorruptDataError, match="not a batchwright-checkpoint"):
        read_progress(path)
    less = {name: value for name, value in state.items() if name not in ("tokens", "seal")}
    write_json(path / "state.json", {**less, "seal": fingerprint(less)})
    with pytest.raises(CorruptDataError, match="lacks 'tokens'"):
        read_progress(path)


def test_tenth_comes_after_ninth(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=3)
    for step in (8, 9, 10):
        checkpoints.write(progress(step), *trained(1))
    assert [path.name for path in checkpoints.committed()] == ["step-8", "step-9", "step-10"]


def test_no_flipped_bit_of_the_state_is_believed(tmp_path: Path) -> None:
    path = Checkpoints(tmp_path).write(progress(3), *trained(1))
    written, content = read_progress(path), (path / "state.json").read_bytes()
    for at in range(len(content)):
        (path / "state.json").write_bytes(content[:at] + bytes([content[at] ^ 1 << at % 8]) + content[at + 1 :])
        # White space for white space says the same; everything else is found.
        with contextlib.suppress(CorruptDataError, InputError):
            assert read_progress(path) == written
