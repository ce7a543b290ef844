"""A process that prepares a small store again and again, stopped at every durable operation in turn; run by the tests.

    python -m tests.end_to_end.prepare_nursery MODE SOURCE WORK [--step N] [--pairs N] [--crowd] [--near] [--twin]

It prints one JSON object. MODE is kill (SIGKILL), full (no space left from that operation on until "something is
freed") or fail (one input/output error). --pairs strikes at a drawn operation and again at a drawn one of the run that
goes on. --crowd filters, keeps what was rejected, and lets two processes work at a time; a strike takes them all, as a
power cut does. --near looks for near-duplicates. Every trial is a forked child, so nothing of production code knows
about it: the operations are counted where the code asks the system for them. --twin replaces the atomic writer by one
that writes in place.
"""

import argparse
import contextlib
import ctypes
import errno
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from batchwright.documents.cleaning import DEFAULT_STEPS
from batchwright.documents.document import Document
from batchwright.documents.filters.gopher_quality import GopherQuality
from batchwright.documents.near_duplicates import NearDuplicates
from batchwright.foundation import files
from batchwright.foundation.array_file import ArrayFile
from batchwright.foundation.errors import BatchwrightError, ResourceError
from batchwright.foundation.execution import Manifest, Task, run_task
from tests.tokens.material import prepare, stored_bytes

SYSTEM_CALLS = ("fsync", "replace", "mkdir", "unlink", "rmdir", "pwrite", "ftruncate")
FREEING = {"unlink", "rmdir"}
UNEXPECTED = 99
_PR_SET_CHILD_SUBREAPER = 36


class Trap:
    """Counts durable operations; at number `at` it does `strike`."""

    def __init__(self, at: int, mode: str) -> None:
        self.at, self.mode = at, mode
        self.shared = multiprocessing.Value("q", 0)  # by all processes of the trial

    @property
    def count(self) -> int:
        return self.shared.get_obj().value  # its lock may have died with a process that was killed

    def before(self, name: str) -> None:
        with self.shared.get_lock():
            self.shared.value += 1
            count = self.shared.value
            if self.mode == "kill" and count == self.at:
                os.killpg(0, signal.SIGKILL)
        if self.mode == "full" and 0 < self.at <= count and name not in FREEING:
            raise OSError(errno.ENOSPC, "No space left on device")
        if self.mode == "fail" and count == self.at:
            raise OSError(errno.EIO, "Input/output error")

    def set(self) -> None:
        for name in SYSTEM_CALLS:
            setattr(os, name, self._wrapped(name, getattr(os, name)))
        honest = files.AtomicFile.write

        def write(file: files.AtomicFile, chunk: bytes | memoryview) -> None:
            view = memoryview(chunk).cast("B")
            half = len(view) // 2
            for part in (view[:half], view[half:]):
                with files.translated(file.path):
                    self.before("write")
                honest(file, part)

        files.AtomicFile.write = write  # type: ignore[method-assign]

    def _wrapped(self, name: str, honest: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            self.before(name)
            return honest(*arguments, **named)

        return call


class InPlace(files.AtomicFile):
    """The broken twin: it writes under the real name from the beginning."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._temporary = path

    def __exit__(self, *error: Any) -> None:
        self._file.close()


class Crowd:
    """Two forked processes at a time; what they do is counted with what the driver does."""

    workers = 2

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Manifest]]:
        waiting = list(tasks)
        while waiting:
            hands, waiting = waiting[:2], waiting[2:]
            codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in [self._begin(t) for t in hands]]
            if any(codes):
                raise ResourceError(f"workers ended with {codes}")
            yield from ((task, run_task(task)) for task in hands)

    def _begin(self, task: Task) -> int:
        return forked(lambda: returned(lambda: run_task(task)))


def forked(act: Callable[[], int]) -> int:
    """A child that ends with the code that `act` returns."""
    child = os.fork()
    if child == 0:
        code = UNEXPECTED
        try:
            code = act()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return child


def returned(act: Callable[[], Any]) -> int:
    """The exit code that the command line would return."""
    try:
        act()
    except BatchwrightError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


def trial(source: Path, out: Path, at: int, mode: str, settings: dict[str, Any]) -> tuple[int, int]:
    """(how the child ended: exit code or minus the signal, operations it and its workers counted)."""
    trap = Trap(at, mode)

    def act() -> int:
        os.setpgid(0, 0)
        trap.set()
        return returned(lambda: prepare(source, out, partition_bytes=2_500, shard_tokens=3_000, **settings))

    code = os.waitstatus_to_exitcode(os.waitpid(forked(act), 0)[1])
    with contextlib.suppress(
        ChildProcessError
    ):  # its workers, forked and not spawned, hold its lock until they are gone
        while True:
            os.waitpid(-1, 0)
    return code, trap.count


def half_written(out: Path) -> list[str]:
    """Files under real names that are not whole."""
    broken = [] if not (out / "manifest.json").exists() else [] if stored_bytes(out) else ["manifest.json"]
    for path in out.rglob("*"):
        kind = path.suffix.removeprefix(".")
        if kind in ("tokens", "documents"):
            try:
                ArrayFile.open(path, kind).verify()
            except BatchwrightError:
                broken.append(str(path))
        if path.name.endswith(".partial"):
            broken.append(str(path))
    return broken


def settings_of(crowd: bool) -> dict[str, Any]:
    """What is prepared. The filter is compiled here, once, and not in every trial."""
    if not crowd:
        return {}
    quality = GopherQuality(min_words=14, min_stop_words=1, max_mean_word_length=100, min_words_with_letters=0.2)
    quality(Document(b"warm and up", 0, 0, 0))
    return {"steps": (*DEFAULT_STEPS, quality), "keep_rejected": True, "executor": Crowd()}


def main(given: argparse.Namespace) -> dict[str, Any]:
    mode, source, work = given.mode, given.source, given.work
    if given.twin:
        files.AtomicFile = InPlace  # type: ignore[misc]
        from batchwright.foundation import array_file

        array_file.AtomicFile = InPlace  # type: ignore[misc]
    work.mkdir(parents=True)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    settings = settings_of(given.crowd)
    if given.near:
        settings["near_duplicates"] = NearDuplicates()
        prepare(source, work / "loaded", **settings)  # what is compiled is loaded once, before there are children
    reference, out = work / "reference", work / "out"
    code, operations = trial(source, reference, 0, mode, settings)
    assert code == 0, code
    wanted = stored_bytes(reference)
    ends: dict[str, int] = {}
    failed, differing, torn = [], [], []
    drawn = random.Random(0)
    strikes = [(at,) for at in range(1, operations + 1, given.step)]
    if given.pairs:
        firsts = [drawn.randint(1, operations - 1) for _ in range(given.pairs)]
        strikes = [(at, drawn.randint(1, operations - at)) for at in firsts]
    for strike in strikes:
        shutil.rmtree(out, ignore_errors=True)
        for at in strike:
            code, _ = trial(source, out, at, mode, settings)
            ends[str(code)] = ends.get(str(code), 0) + 1
            if mode != "kill" and half_written(out):
                torn.append(strike)
        code, _ = trial(source, out, 0, "none", settings)
        if code != 0:
            failed.append(strike)
        elif stored_bytes(out) != wanted:
            differing.append(strike)
    return {
        "operations": operations,
        "trials": len(strikes),
        "ends": ends,
        "failed": failed,
        "differing": differing,
        "torn": torn,
        "files": len(wanted),
        "rejected": sum(name.startswith("rejected/") for name in wanted),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="prepare_nursery")
    parser.add_argument("mode", choices=["kill", "full", "fail"])
    parser.add_argument("source", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--step", type=int, default=1)
    parser.add_argument("--pairs", type=int, default=0)
    parser.add_argument("--crowd", action="store_true")
    parser.add_argument("--near", action="store_true")
    parser.add_argument("--twin", action="store_true")
    print(json.dumps(main(parser.parse_args())))
