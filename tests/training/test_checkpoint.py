"""A checkpoint is there whole or not at all, at every durable operation of writing it."""

import contextlib
import errno
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import safetensors.torch
import torch

from batchwright.foundation.errors import CorruptDataError, InputError, ResourceError
from batchwright.foundation.files import read_json, write_json
from batchwright.foundation.fingerprint import fingerprint
from batchwright.model.config import ModelConfig
from batchwright.model.transformer import Transformer
from batchwright.training.checkpoint import Progress, load_model, read_progress, restore
from batchwright.training.checkpoint_write import Checkpoints, CheckpointWriter, Retention
from batchwright.training.config import TrainingConfig
from batchwright.training.optimizer import build_optimizer, optimizer_tensors

SHAPE = ModelConfig(vocabulary_size=11, sequence_length=4, width=4, layers=1, heads=1, feed_forward_width=4)
TRAINING = TrainingConfig(global_batch_size=1, micro_batch_size=1, sequence_length=4, tokens=99, learning_rate=1.0)


Trained = tuple[Transformer, torch.optim.Optimizer]


class Crash(BaseException):
    """Passes through every handler, as the end of a process does."""


def trained(seed: int) -> Trained:
    model = Transformer(SHAPE, seed=seed)
    optimizer = build_optimizer(model, TRAINING)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    return model, optimizer


def write(checkpoints: Checkpoints, step: int, of: Trained, *, wait: bool = True) -> Path:
    """The checkpoint of a step, by a writer of its own."""
    writer, (model, optimizer) = CheckpointWriter(checkpoints), of
    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
    writer.write(progress(step), weights, optimizer_tensors(model, optimizer), wait=wait)
    writer.finish()
    return checkpoints.directory / f"step-{step}"


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
        (os, "write"),
    ):
        patch.setattr(home, name, counted(getattr(home, name)))
    return lambda: seen


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    model, optimizer = trained(1)
    path = write(Checkpoints(tmp_path), 3, (model, optimizer))
    assert read_progress(path) == progress(3)
    again = Transformer(SHAPE, seed=9)
    fresh = build_optimizer(again, TRAINING)
    restore(path, again, fresh)
    for a, b in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)
        assert torch.equal(optimizer.state[a]["exp_avg_sq"], fresh.state[b]["exp_avg_sq"])
    assert torch.equal(load_model(path).embedding.weight, model.embedding.weight)


def keeping_one(directory: Path) -> Checkpoints:
    return Checkpoints(directory, retention=Retention(last=1))


@pytest.mark.parametrize("wait", [True, False], ids=["in the step", "in a thread"])
def test_at_whatever_operation_it_crashes_the_newest_is_whole(tmp_path: Path, wait: bool) -> None:
    old, new = trained(1), trained(2)
    operation, finished = 0, False
    while not finished:
        operation += 1
        directory = tmp_path / str(operation)
        write(keeping_one(directory), 3, old)
        with pytest.MonkeyPatch.context() as patch:
            happened = crash_at(patch, operation)
            with contextlib.suppress(Crash):
                write(keeping_one(directory), 4, new, wait=wait)
            finished = happened() < operation
        after = keeping_one(directory)
        newest = after.newest()
        assert newest is not None
        expected = old if read_progress(newest).step == 3 else new
        assert torch.equal(load_model(newest).embedding.weight, expected[0].embedding.weight)
        after.remove_unfinished()
        assert all(path.name.startswith("step-") for path in directory.iterdir())
        again = write(after, 4, new)
        assert [path.name for path in after.committed()] == ["step-4"]
        assert read_progress(again) == progress(4)
    assert operation > 8


@pytest.mark.parametrize("wait", [True, False], ids=["in the step", "in a thread"])
def test_a_full_disk_is_said_and_the_checkpoint_before_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wait: bool
) -> None:
    checkpoints = Checkpoints(tmp_path)
    write(checkpoints, 3, trained(1))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(ResourceError, match="the disk is full"):
        write(checkpoints, 4, trained(2), wait=wait)
    assert [path.name for path in checkpoints.committed()] == ["step-3"]


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "state.json"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    path = write(Checkpoints(tmp_path), 3, trained(1))
    (path / name).unlink()
    with pytest.raises(InputError) as caught:
        read_progress(path)
    assert name in str(caught.value)


def test_a_state_of_another_kind_or_version_is_refused(tmp_path: Path) -> None:
    path = write(Checkpoints(tmp_path), 3, trained(1))
    state = read_json(path / "state.json")
    write_json(path / "state.json", {**state, "version": 3})
    with pytest.raises(InputError, match="format version 3"):
        read_progress(path)
    write_json(path / "state.json", {**state, "format": "something"})
    with pytest.raises(CorruptDataError, match="not a batchwright-checkpoint"):
        read_progress(path)
    less = {name: value for name, value in state.items() if name not in ("tokens", "seal")}
    write_json(path / "state.json", {**less, "seal": fingerprint(less)})
    with pytest.raises(CorruptDataError, match="lacks 'tokens'"):
        read_progress(path)


def test_tenth_comes_after_ninth(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, retention=Retention(last=3))
    for step in (8, 9, 10):
        write(checkpoints, step, trained(1))
    assert [path.name for path in checkpoints.committed()] == ["step-8", "step-9", "step-10"]


def test_no_flipped_bit_of_the_state_is_believed(tmp_path: Path) -> None:
    path = write(Checkpoints(tmp_path), 3, trained(1))
    written, content = read_progress(path), (path / "state.json").read_bytes()
    for at in range(len(content)):
        (path / "state.json").write_bytes(content[:at] + bytes([content[at] ^ 1 << at % 8]) + content[at + 1 :])
        # White space for white space says the same; everything else is found.
        with contextlib.suppress(CorruptDataError, InputError):
            assert read_progress(path) == written


def test_the_files_are_what_the_safetensors_library_reads(tmp_path: Path) -> None:
    model, optimizer = trained(1)
    for wait in (True, False):
        path = write(Checkpoints(tmp_path / str(wait)), 3, (model, optimizer), wait=wait)
        weights = safetensors.torch.load_file(path / "model.safetensors")
        assert weights.keys() == dict(model.named_parameters()).keys()
        assert all(torch.equal(weights[name], parameter) for name, parameter in model.named_parameters())
        state = safetensors.torch.load_file(path / "optimizer.safetensors")
        expected = optimizer_tensors(model, optimizer)
        assert state.keys() == expected.keys()
        assert all(torch.equal(state[name], expected[name]) for name in state)
        with (path / "model.safetensors").open("rb") as file:
            header = int.from_bytes(file.read(8), "little")
        assert header % 8 == 0


def test_a_checkpoint_of_format_version_1_is_still_read(tmp_path: Path) -> None:
    model, optimizer = trained(1)
    path = write(Checkpoints(tmp_path), 3, (model, optimizer))
    state = read_json(path / "state.json")
    old = {**{name: value for name, value in state.items() if name not in ("tensors", "seal")}, "version": 1}
    write_json(path / "state.json", {**old, "seal": fingerprint(old)})
    again = Transformer(SHAPE, seed=9)
    fresh = build_optimizer(again, TRAINING)
    assert read_progress(path) == progress(3)
    restore(path, again, fresh)
    for name, parameter in again.named_parameters():
        assert torch.equal(parameter, dict(model.named_parameters())[name])
    left, right = optimizer_tensors(again, fresh), optimizer_tensors(model, optimizer)
    assert left.keys() == right.keys()
    assert all(torch.equal(left[name], right[name]) for name in left)


def test_what_is_written_meanwhile_is_what_was_there_when_it_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The training goes on and changes the weights before a byte is on the disk."""
    model, optimizer = trained(1)
    before = model.embedding.weight.detach().clone()
    may_write, real = threading.Event(), os.write

    def slow(descriptor: int, content: memoryview) -> int:
        assert may_write.wait(10)
        return real(descriptor, content)

    monkeypatch.setattr(os, "write", slow)
    writer = CheckpointWriter(Checkpoints(tmp_path))
    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
    writer.write(progress(3), weights, optimizer_tensors(model, optimizer))
    with torch.no_grad():
        model.embedding.weight.zero_()
    assert Checkpoints(tmp_path).newest() is None
    may_write.set()
    writer.finish()
    assert writer.waited == 0
    assert torch.equal(load_model(tmp_path / "step-3").embedding.weight, before)


def test_without_memory_for_a_copy_the_step_waits_and_that_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        available = 100

    monkeypatch.setattr(psutil, "virtual_memory", Full)
    model, optimizer = trained(1)
    writer = CheckpointWriter(Checkpoints(tmp_path))
    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
    writer.write(progress(3), weights, optimizer_tensors(model, optimizer))
    assert Checkpoints(tmp_path).newest() == tmp_path / "step-3"
    assert writer.waited == 1


def test_what_goes_wrong_in_the_thread_is_known_and_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> int:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "write", broken)
    model, optimizer = trained(1)
    writer = CheckpointWriter(Checkpoints(tmp_path))
    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
    writer.write(progress(3), weights, optimizer_tensors(model, optimizer))
    with pytest.raises(ResourceError, match="input/output"):
        writer.finish()
    writer.finish()  # said once
