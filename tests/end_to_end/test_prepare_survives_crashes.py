"""`prepare`, stopped at every durable operation, goes on to the same bytes: SIGKILL, a full disk, a failing disk; once,
and again while it goes on; alone, and with filters, kept rejections and two workers.

The broken twin writes its files in place; the harness must catch it. The programme itself is `prepare_nursery`.
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

from ..tokens.material import texts, write_jsonl

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """In memory where the system offers it: hundreds of trials would wait for the disk, which is not what is tested."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="batchwright-", dir=memory) as directory:
        yield Path(directory)


def run(mode: str, place: Path, *options: object) -> dict[str, Any]:
    place.mkdir(exist_ok=True)
    source = write_jsonl(place / "a.jsonl", texts(40))
    command = [sys.executable, "-m", "tests.end_to_end.prepare_nursery", mode, source, place / "work", *options]
    done = subprocess.run(list(map(str, command)), cwd=REPOSITORY, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def test_killed_at_every_durable_operation_prepare_goes_on_to_the_same_bytes(place: Path) -> None:
    report = run("kill", place)
    assert report["operations"] > 150
    assert report["ends"] == {"-9": report["operations"]}
    assert report["failed"] == report["differing"] == []


def test_a_disk_full_at_every_second_operation_is_exit_code_4_and_nothing_half_written(place: Path) -> None:
    """At every one, and with two workers, in `test_the_whole_programme`."""
    report = run("full", place, "--step", 2)
    # An operation that was not needed after all (a directory that is there) may fail without harm: 0.
    assert set(report["ends"]) <= {"4", "0"}
    assert report["ends"]["4"] > 0.8 * report["trials"] > 70
    assert report["failed"] == report["differing"] == report["torn"] == []


def test_one_input_output_error_at_every_eighth_operation_is_exit_code_4(place: Path) -> None:
    report = run("fail", place, "--step", 8)
    assert set(report["ends"]) <= {"4", "0"}
    assert report["failed"] == report["differing"] == []


def test_a_writer_that_writes_in_place_is_caught(place: Path) -> None:
    killed = run("kill", place / "kill", "--step", 5, "--twin")
    assert killed["failed"] or killed["differing"]
    assert run("full", place / "full", "--step", 5, "--twin")["torn"]


def test_killed_twice_filtering_with_two_workers_prepare_goes_on_to_the_same_bytes(place: Path) -> None:
    report = run("kill", place, "--crowd", "--pairs", 16)
    assert report["rejected"] > 0
    assert report["ends"]["-9"] > 16
    assert report["failed"] == report["differing"] == []


def test_two_workers_that_write_in_place_are_caught(place: Path) -> None:
    report = run("kill", place, "--crowd", "--step", 16, "--twin")
    assert report["failed"] or report["differing"]


@pytest.mark.slow
@pytest.mark.parametrize("crowd", [(), ("--crowd",)], ids=["alone", "filtering with two workers"])
@pytest.mark.parametrize(
    "programme", [("kill",), ("full",), ("fail",), ("kill", "--pairs", 1000)], ids=["kill", "full", "fail", "pairs"]
)
def test_the_whole_programme(
    place: Path, programme: tuple[str, ...], crowd: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    report = run(programme[0], place, *programme[1:], *crowd)
    with capsys.disabled():
        print("\nprepare", *programme, *crowd, json.dumps(report))
    assert report["failed"] == report["differing"] == report["torn"] == []
    assert set(report["ends"]) <= ({"-9", "0"} if programme[0] == "kill" else {"4", "0"})
    assert report["trials"] == (1000 if "--pairs" in programme else report["operations"])
