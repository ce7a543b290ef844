"""Files made to harm a reader: only our own errors, bounded memory, and everything else unharmed where errors are
skipped. The readers run in a process of their own (`reader_nursery`), because what harms may end it.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from batchwright.documents.cleaning import MAXIMUM_MARKS
from batchwright.documents.inputs import TextSource, discover
from batchwright.documents.tally import Tally
from batchwright.foundation.errors import InputError
from tests.documents.corpus import dropped, read_all, texts_of
from tests.documents.reader_nursery import ATTACKS, HONEST

REPOSITORY = Path(__file__).resolve().parents[2]
MEMORY_BYTES = 2**29  # 64 values of 4 MiB that a parquet file states once are the most: about half of it


def run(*words: object) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.documents.reader_nursery", *map(str, words)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    return json.loads(done.stdout)


def test_every_known_attack_is_dropped_by_name_and_the_honest_texts_are_read(tmp_path: Path) -> None:
    report = run("attacks", tmp_path / "corpus")
    assert report["honest"] == 2 * len(HONEST)
    assert report["after"] == sum(name.endswith(".jsonl") for name in ATTACKS), "a line made to harm, and then the next"
    assert report["bytes"] < MEMORY_BYTES
    assert report["dropped"]["too_many_combining_marks"] == 1
    assert report["dropped"]["too_long"] > 0
    assert report["skipped"] == {"broken link": 1, "not a regular file": 1, "directory seen before (link)": 1}
    refused = {name for name, end in report["strict"].items() if end in ("InputError", "CorruptDataError")}
    assert set(ATTACKS) - refused == {"blank.jsonl", "marks.txt"}, "an empty line and a rule of cleaning are no errors"


def test_damage_of_any_kind_in_any_format_ends_in_our_own_errors(tmp_path: Path) -> None:
    report = run("fuzz", tmp_path / "files", 400, 0)
    check_fuzzed(report, 400)


def check_fuzzed(report: dict[str, Any], count: int) -> None:
    ends = report["ends"]
    assert ends["skip: read"] + ends.get("skip: Column", 0) == count
    assert {end.split(": ")[1] for end in ends} - {"Column"} == {"read", "InputError", "CorruptDataError"}
    assert report["bytes"] < MEMORY_BYTES


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 5))
def test_the_whole_programme_of_damage(tmp_path: Path, seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    report = run("fuzz", tmp_path / "files", 25_000, seed)
    with capsys.disabled():
        print("\nreaders", json.dumps(report))
    check_fuzzed(report, 25_000)


def test_two_links_that_loop_are_not_more_paths_than_can_be_counted(tmp_path: Path) -> None:
    (tmp_path / "sub" / ".hidden").mkdir(parents=True)
    for name in ("a.jsonl", "sub/b.jsonl", "sub/.hidden/c.jsonl"):
        (tmp_path / name).write_text('{"text":"a"}\n')
    for name in ("one", "two", "sub/three"):
        (tmp_path / name).symlink_to(tmp_path)
    for pattern, wanted in (("**/*.jsonl", ["a.jsonl", "sub/b.jsonl"]), ("*/**/b.*", ["sub/b.jsonl"])):
        found = discover([TextSource(name="s", paths=(str(tmp_path / pattern),))])
        assert [Path(file.location).resolve().relative_to(tmp_path.resolve()).as_posix() for file in found] == wanted


def test_a_directory_that_may_not_be_listed_stops_the_job_or_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    (tmp_path / "closed").mkdir()
    (tmp_path / "a.txt").write_text("open")
    listed = os.listdir

    def refusing(path: str) -> list[str]:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", path)
        return listed(path)

    monkeypatch.setattr("batchwright.documents.inputs.os.listdir", refusing)
    source, tally = TextSource(name="s", paths=(str(tmp_path),)), Tally()
    with pytest.raises(InputError, match="permission denied"):
        discover([source])
    assert len(discover([source], tally=tally, skip_unreadable=True)) == 1
    assert tally.skipped_files == {"unreadable directory": 1}
    with pytest.raises(InputError, match="permission denied"):
        discover([TextSource(name="s", paths=(str(tmp_path / "closed"),))], skip_unreadable=True)


def test_only_more_marks_than_any_writing_has_are_dropped(tmp_path: Path) -> None:
    marks = "\u0301\u0327" * MAXIMUM_MARKS
    for name, count in (("few", MAXIMUM_MARKS), ("many", MAXIMUM_MARKS + 1)):
        (tmp_path / f"{name}.txt").write_text("x" + marks[:count], encoding="utf-8")
    documents, tally = read_all(tmp_path)
    assert len(texts_of(documents)) == 1
    assert dropped(tally) == {"too_many_combining_marks": 1}
