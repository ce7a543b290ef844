"""A process that prepares a small store again and again, stopped at every durable operation in turn; run by the tests.

    python -m tests.end_to_end.prepare_nursery MODE SOURCE WORK STEP [twin] [near]     prints one JSON object

MODE is kill (SIGKILL), full (no space left from that operation on until "something is freed") or fail (one
input/output error). Every trial is a forked child, so nothing of production code knows about it: the operations are
counted where the code asks the system for them. "twin" replaces the atomic writer by one that writes in place, "near"
looks for near-duplicates.
"""

import errno
import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from batchwright.documents.near_duplicates import NearDuplicates
from batchwright.foundation import files
from batchwright.foundation.array_file import ArrayFile
from batchwright.foundation.errors import BatchwrightError
from tests.tokens.material import prepare, stored_bytes

SYSTEM_CALLS = ("fsync", "replace", "mkdir", "unlink", "rmdir", "pwrite", "ftruncate")
FREEING = {"unlink", "rmdir"}
UNEXPECTED = 99


class Trap:
    """Counts durable operations; at number `at` it does `strike`."""

    def __init__(self, at: int, mode: str) -> None:
        self.at, self.mode, self.count = at, mode, 0

    def before(self, name: str) -> None:
        self.count += 1
        if self.mode == "kill" and self.count == self.at:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.mode == "full" and 0 < self.at <= self.count and name not in FREEING:
            raise OSError(errno.ENOSPC, "No space left on device")
        if self.mode == "fail" and self.count == self.at:
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


near: NearDuplicates | None = None


def trial(source: Path, out: Path, at: int, mode: str) -> tuple[int, int]:
    """(how the child ended: exit code or minus the signal, operations it counted)."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        code = UNEXPECTED
        try:
            os.close(reader)
            trap = Trap(at, mode)
            trap.set()
            code = attempt(source, out)
            os.write(writer, str(trap.count).encode())
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader) as counted:
        operations = int(counted.read() or 0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), operations


def attempt(source: Path, out: Path) -> int:
    """Prepare; the exit code that the command line would return."""
    try:
        prepare(source, out, partition_bytes=2_500, shard_tokens=3_000, near_duplicates=near)
    except BatchwrightError as error:
        return error.exit_code
    return 0


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


def main(mode: str, source: Path, work: Path, twin: bool, step: int) -> dict[str, Any]:
    if twin:
        files.AtomicFile = InPlace  # type: ignore[misc]
        from batchwright.foundation import array_file

        array_file.AtomicFile = InPlace  # type: ignore[misc]
    work.mkdir(parents=True)
    reference = work / "reference"
    if near:
        attempt(source, work / "loaded")  # what is compiled is loaded once, before there are children
    code, operations = trial(source, reference, 0, mode)
    assert code == 0, code
    wanted = stored_bytes(reference)
    ends: dict[str, int] = {}
    failed, differing, torn = [], [], []
    for at in range(1, operations + 1, step):
        out = work / "out"
        shutil.rmtree(out, ignore_errors=True)
        code, _ = trial(source, out, at, mode)
        ends[str(code)] = ends.get(str(code), 0) + 1
        if mode != "kill" and half_written(out):
            torn.append(at)
        code, _ = trial(source, out, 0, "none")
        if code != 0:
            failed.append(at)
        elif stored_bytes(out) != wanted:
            differing.append(at)
    return {"operations": operations, "ends": ends, "failed": failed, "differing": differing, "torn": torn}


if __name__ == "__main__":
    near = NearDuplicates() if "near" in sys.argv else None
    mode, source, work = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    print(json.dumps(main(mode, source, work, "twin" in sys.argv, int(sys.argv[4]))))
