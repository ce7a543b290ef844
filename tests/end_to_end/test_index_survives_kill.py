"""Building an index, killed at every durable operation, comes to the same bytes and leaves nothing behind.

The broken twins must be caught. The programme itself is `index_nursery`.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """In memory where the system offers it: the trials would wait for the disk, which is not what is tested."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="batchwright-", dir=memory) as directory:
        yield Path(directory)


def run(place: Path, how: str, *, step: int = 1, twin: str = "") -> dict[str, Any]:
    command = [
        sys.executable,
        "-m",
        "tests.end_to_end.index_nursery",
        str(place),
        how,
        str(step),
        *([twin] if twin else []),
    ]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


@pytest.mark.parametrize("how", ["whole", "parts"])
def test_killed_at_every_durable_operation_it_is_built_to_the_same_bytes(place: Path, how: str) -> None:
    report = run(place, how)
    assert report["operations"] > (70 if how == "parts" else 30)
    assert report["ends"] == {"-9": report["operations"]}
    assert report["failed"] == report["differing"] == []
    assert len(report["files"]) == 5


@pytest.mark.parametrize(("twin", "step"), [("in-place", 1), ("removes-first", 4)])
def test_a_builder_that_does_not_care_is_caught(place: Path, twin: str, step: int) -> None:
    report = run(place, "parts", step=step, twin=twin)
    assert report["failed"] or report["differing"]
