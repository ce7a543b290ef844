"""Workers that outlive their driver, on a node far away: what they still write harms no driver that comes after."""

from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from batchwright.documents.near_duplicates import NearDuplicates
from batchwright.foundation import array_file, files
from batchwright.foundation.errors import InputError
from batchwright.foundation.execution import Manifest, Task, make_outputs, run_task
from batchwright.tokens.build import _Build
from tests.tokens.material import near_texts, prepare, stored_bytes, texts, write_jsonl


class Haunted:
    """Before the tasks of each phase it lets all tasks that a driver ever had be done once more."""

    workers = 1

    def __init__(self) -> None:
        self.tasks: list[Task] = []

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Manifest]]:
        listed = list(tasks)
        make_outputs(listed)
        self.late()
        self.tasks += listed
        yield from ((task, run_task(task)) for task in listed)

    def late(self) -> list[str]:
        """How the late ones end: by what they wrote, or by why they could not."""
        return [late(task) for task in self.tasks]


def late(task: Task) -> str:
    """A worker that had begun before anybody was done: no manifest was there to tell it so."""
    module, _, name = task.function.partition(":")
    try:
        getattr(import_module(module), name)({**task.parameters, **task.context}, task.prefix)
    except InputError as error:
        return error.what
    return "written"


def haunted_store(source: Path, out: Path, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> set[str]:
    """A job killed when its shards have their names, and one that goes on; how late workers end when it is over."""
    executor = Haunted()

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(_Build, "_publish", killed)
        prepare(source, out, executor=executor, **settings)
    assert set(executor.late()) == {"written"}
    honest, ends = files.shutil.rmtree, set[str]()

    def rmtree(path: Path) -> None:
        ends.update(executor.late())
        honest(path)

    with monkeypatch.context() as patch:
        patch.setattr(files.shutil, "rmtree", rmtree)
        prepare(source, out, executor=executor, **settings)
    return ends | set(executor.late())


def test_workers_that_outlive_their_driver_change_no_byte_and_bring_nothing_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_jsonl(tmp_path / "a.jsonl", [*texts(40), *near_texts(4)])
    settings: dict[str, Any] = {"near_duplicates": NearDuplicates(), "partition_bytes": 6_000}
    ends = haunted_store(source, tmp_path / "here", monkeypatch, **settings)
    assert ends == {"there is no such file or directory"}
    prepare(source, tmp_path / "there", **settings)
    assert stored_bytes(tmp_path / "here") == stored_bytes(tmp_path / "there")


def test_a_writer_that_makes_its_directory_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Eager(files.AtomicFile):
        """The broken twin."""

        def __enter__(self) -> "Eager":
            self.path.parent.mkdir(parents=True, exist_ok=True)
            return super().__enter__()

    source = write_jsonl(tmp_path / "a.jsonl", texts(40))
    monkeypatch.setattr(array_file, "AtomicFile", Eager)
    ends = haunted_store(source, tmp_path / "here", monkeypatch, partition_bytes=6_000)
    prepare(source, tmp_path / "there", partition_bytes=6_000)
    assert "written" in ends
    assert stored_bytes(tmp_path / "here") != stored_bytes(tmp_path / "there")
