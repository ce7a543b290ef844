"""A process that builds a small index again and again, killed at every durable operation in turn; run by the tests.

    python -m tests.end_to_end.index_nursery WORK parts|whole STEP [TWIN]     prints one JSON object

`parts` packs ranges of windows through an executor and joins them. STEP 3 tries every third operation. TWIN: "in-place"
writes files under their real names from the beginning; "removes-first" deletes parts before what says that they are
done.
"""

import json
import os
import shutil
import sys
import traceback
from pathlib import Path
from typing import Any

import batchwright.sequences.index_build as index_build
import batchwright.sequences.index_parts as index_parts
from batchwright.engines.serial import SerialExecutor
from batchwright.foundation import array_file, execution, files
from batchwright.foundation.errors import BatchwrightError
from batchwright.sequences.index_build import build_index
from batchwright.sequences.packing import BestFit
from tests.end_to_end.prepare_nursery import InPlace, Trap
from tests.sequences.small_store import SmallStore, write_store

LENGTHS = [5, 3, 9, 2, 20, 1, 7, 4, 4, 13, 6, 2, 8, 31]
PACKING = BestFit(window_documents=4, block_documents=2)
FAILED = 1


def attempt(store: SmallStore, home: Path, at: int, in_parts: bool) -> tuple[int, int]:
    """(how a child ended that builds the index: exit code or minus the signal, operations it counted)."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        code = FAILED
        try:
            os.setpgid(0, 0)  # the trap takes its whole group
            trap = Trap(at, "kill")
            trap.set()
            executor = SerialExecutor() if in_parts else None
            build_index(store, sequence_length=6, packing=PACKING, directory=home, executor=executor)
            os.write(writer, str(trap.count).encode())
            code = 0
        except BatchwrightError:
            pass
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader) as counted:
        operations = int(counted.read() or 0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), operations


def content(home: Path) -> dict[str, str]:
    """Every file under `home` but the lock, so that nothing may be left over either."""
    paths = sorted(path for path in home.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(home)): path.read_bytes().hex() for path in paths}


def removes_first(directory: Path) -> None:
    """The broken twin: the parts go under their own names, before what says that they are done."""
    if not directory.exists():
        return
    for path in sorted(directory.iterdir(), key=lambda path: path.name.endswith(".done.json")):
        os.unlink(path)
    directory.rmdir()


def main(work: Path, in_parts: bool, step: int, twin: str) -> dict[str, Any]:
    index_parts.WINDOWS_PER_PART = 2
    if twin == "in-place":
        for module in (files, array_file, execution):
            module.AtomicFile = InPlace  # type: ignore[attr-defined]
    if twin == "removes-first":
        index_build.remove_directory = removes_first
    store = write_store(work / "store", LENGTHS, shard_documents=4)
    build_index(store, sequence_length=6, packing=PACKING)  # loads the compiled loops once, for all children
    code, operations = attempt(store, work / "reference", 0, in_parts)
    assert code == 0, code
    wanted = content(work / "reference")
    ends: dict[str, int] = {}
    failed, differing = [], []
    for at in range(1, operations + 1, step):
        home = work / "home"
        shutil.rmtree(home, ignore_errors=True)
        code, _ = attempt(store, home, at, in_parts)
        ends[str(code)] = ends.get(str(code), 0) + 1
        code, _ = attempt(store, home, 0, in_parts)
        if code != 0:
            failed.append(at)
        elif content(home) != wanted:
            differing.append(at)
    return {"operations": operations, "ends": ends, "failed": failed, "differing": differing, "files": list(wanted)}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), sys.argv[2] == "parts", int(sys.argv[3]), " ".join(sys.argv[4:]))))
