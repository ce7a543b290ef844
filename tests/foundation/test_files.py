import errno
import os
from pathlib import Path

import pytest

from batchwright.foundation import files
from batchwright.foundation.errors import BatchwrightError, CorruptDataError, InputError, LockedError, ResourceError
from batchwright.foundation.files import (
    AtomicFile,
    WriterLock,
    read_json,
    remove_directory,
    safe_name,
    write_atomic,
    write_json,
)


def test_a_file_is_whole_or_absent_when_the_writer_fails(tmp_path: Path):
    write_atomic(tmp_path / "a", b"old")
    with pytest.raises(RuntimeError), AtomicFile(tmp_path / "a") as file:
        file.write(b"half of the new")
        raise RuntimeError
    assert (tmp_path / "a").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("operation", ["fsync", "replace", "pwrite"])
@pytest.mark.parametrize(
    ("number", "kind"), [(errno.ENOSPC, ResourceError), (errno.EIO, ResourceError), (errno.EACCES, InputError)]
)
def test_a_failing_disk_becomes_a_clear_error_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operation: str, number: int, kind: type[BatchwrightError]
):
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files.os, operation, fail)
    with pytest.raises(kind) as caught, AtomicFile(tmp_path / "a") as file:
        file.write(b"0123")
        file.overwrite(0, b"9")
    assert str(tmp_path / "a") in str(caught.value)
    assert os.listdir(tmp_path) == []


def test_json_reads_back_and_damage_is_named(tmp_path: Path):
    write_json(tmp_path / "a.json", {"漢": [1, None]})
    assert read_json(tmp_path / "a.json") == {"漢": [1, None]}
    (tmp_path / "a.json").write_bytes(b'{"cut')
    with pytest.raises(CorruptDataError, match=r"a\.json"):
        read_json(tmp_path / "a.json")
    with pytest.raises(InputError, match="no such file"):
        read_json(tmp_path / "b.json")


@pytest.mark.parametrize(
    "name", ["../x", "/etc/passwd", "a/b", "", ".", "..", "a..b", "x" * 200, None, 3, "a\0b", "-rf"]
)
def test_names_that_could_leave_their_directory_are_refused(name: object):
    with pytest.raises(CorruptDataError):
        safe_name(name)


def test_a_second_writer_is_refused_and_told_who_holds_the_lock(tmp_path: Path):
    with WriterLock(tmp_path), pytest.raises(LockedError, match=str(os.getpid())), WriterLock(tmp_path):
        pass
    with WriterLock(tmp_path):
        pass


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BatchwrightError, match="file"):
        write_atomic(tmp_path / "file" / "below", b"x")


def test_a_directory_is_removed_while_somebody_writes_there_and_what_a_crash_left_of_it_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    place = tmp_path / "work"
    place.mkdir()
    (place / "old").write_bytes(b"old")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(InputError, match="no such file"), AtomicFile(place / "late") as late:
        late.write(b"half")
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(files.shutil, "rmtree", killed)
            remove_directory(place)
        late.write(b"the other half")
    assert os.listdir(tmp_path) == ["work.removed"]
    place.mkdir()
    (place / "new").write_bytes(b"new")
    remove_directory(place)
    remove_directory(place)
    assert os.listdir(tmp_path) == []


def test_a_late_writer_brings_no_removed_directory_back(tmp_path: Path):
    with pytest.raises(InputError, match="no such file"), AtomicFile(tmp_path / "gone" / "a"):
        pass
    assert os.listdir(tmp_path) == []
