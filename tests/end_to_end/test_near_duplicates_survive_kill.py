"""`prepare --near-duplicates`, killed at durable operations, goes on to the same bytes; the programme is
`prepare_nursery`, whose broken twin `test_prepare_survives_crashes` catches.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ..tokens.material import near_texts, texts, write_jsonl

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("step", [19, pytest.param(1, marks=pytest.mark.slow)])
def test_killed_while_it_looks_for_near_duplicates_prepare_goes_on_to_the_same_bytes(tmp_path: Path, step: int) -> None:
    source = write_jsonl(tmp_path / "a.jsonl", [*texts(36), *near_texts(2)])
    command = [sys.executable, "-m", "tests.end_to_end.prepare_nursery", "kill", source, tmp_path / "work", "--near"]
    done = subprocess.run([*command, "--step", str(step)], cwd=REPOSITORY, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    report = json.loads(done.stdout)
    assert report["operations"] > 300
    assert set(report["ends"]) == {"-9"}
    assert report["failed"] == report["differing"] == []
