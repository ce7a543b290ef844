"""Files that are there whole or not at all, and one writer at a time.

Guarantee: after a crash at any instruction a path holds its old bytes or its new bytes, never a part (temp file →
fsync → rename → fsync of the directory). Price: two fsyncs per file, so write few and large ones. Every OSError
leaves as a BatchwrightError that names the path.
"""

import contextlib
import errno
import fcntl
import json
import os
import re
import secrets
import shutil
from collections.abc import Generator, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from batchwright.foundation.errors import BatchwrightError, CorruptDataError, InputError, LockedError, ResourceError

TEMPORARY_SUFFIX = ".partial"
_SAFE_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextlib.contextmanager
def translated(path: Path | str) -> Generator[None]:
    """Turn an OSError about `path` into the error a user understands."""
    try:
        yield
    except OSError as error:
        raise translate(error, path) from error


def translate(error: OSError, path: Path | str) -> BatchwrightError:
    """The BatchwrightError for an operating-system error about `path`."""
    where = str(path)
    if error.errno in _NO_SPACE:
        return ResourceError("the disk is full", where=where, remedy="free some space and run the same command again")
    if error.errno == errno.EMFILE:
        return ResourceError("too many open files", where=where, remedy="raise the limit: ulimit -n 4096")
    if error.errno == errno.EIO:
        return ResourceError("the disk reports an input/output error", where=where)
    if isinstance(error, FileNotFoundError):
        return InputError("there is no such file or directory", where=where)
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        return InputError("permission denied", where=where, remedy="choose a path that you may read and write")
    if isinstance(error, IsADirectoryError):
        return InputError("a file was expected here, this is a directory", where=where)
    if isinstance(error, NotADirectoryError):
        return InputError("a directory was expected here, this is a file", where=where)
    return InputError(f"the operating system refused: {error.strerror or error}", where=where)


def sync_directory(directory: Path) -> None:
    """Make renames and removals inside a directory survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomic(path: Path, content: bytes | Iterable[bytes]) -> None:
    """Write a file whole or not at all, its directory first. Raises ResourceError, InputError (not writable)."""
    with translated(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with AtomicFile(path) as file:
        for chunk in (content,) if isinstance(content, bytes) else content:
            file.write(chunk)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON value atomically, keys sorted, for people to read."""
    write_atomic(path, json_bytes(value))


def json_bytes(value: Any) -> bytes:
    """A JSON value as `write_json` writes it."""
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode()


def read_json(path: Path) -> Any:
    """Read a JSON file that we wrote. Raises CorruptDataError when it is not JSON, InputError when it is not there."""
    with translated(path):
        content = path.read_bytes()
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise CorruptDataError(f"this file is not valid JSON ({error})", where=str(path)) from error


def safe_name(name: Any) -> str:
    """A file name read from a manifest, refused when it could lead outside its directory."""
    if not isinstance(name, str) or not _SAFE_NAME.match(name) or ".." in name:
        raise CorruptDataError(f"{name!r} is not a name that batchwright writes into a manifest")
    return name


class AtomicFile:
    """A binary file under a temporary name; leaving the `with` block without an error gives it its real one.

    Its directory is there already: a worker that goes on when its job is over must not bring back what was removed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # A word of its own keeps two processes, on two machines perhaps, that compute the same content-addressed output
        # out of each other's way.
        self._temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{TEMPORARY_SUFFIX}")

    def __enter__(self) -> Self:
        with translated(self.path):
            self._file = self._temporary.open("w+b", buffering=0)
        return self

    def write(self, chunk: bytes | memoryview) -> None:
        """Append bytes, all of them."""
        view = memoryview(chunk).cast("B")
        with translated(self.path):
            while len(view):
                written = self._file.write(view)
                view = view[written:]

    def overwrite(self, offset: int, chunk: bytes) -> None:
        """Replace bytes already written: headers whose counts are known only at the end."""
        with translated(self.path):
            os.pwrite(self._file.fileno(), chunk, offset)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                with translated(self.path):
                    os.fsync(self._file.fileno())
                    self._file.close()
                    os.replace(self._temporary, self.path)
                    sync_directory(self.path.parent)
        finally:
            self._file.close()
            with contextlib.suppress(OSError):
                self._temporary.unlink(missing_ok=True)


def remove_temporaries(directory: Path) -> None:
    """Delete what crashed writers left behind. Only for the holder of the directory's lock."""
    if not directory.is_dir():
        return
    with translated(directory):
        for path in directory.rglob(f".*{TEMPORARY_SUFFIX}"):
            path.unlink(missing_ok=True)


def remove_directory(directory: Path) -> None:
    """Remove a directory and all in it, also while somebody still writes there: it loses its name first, so that no
    file of theirs comes into it any more. What a crash leaves of it the next call removes; it looks like nothing else.
    """
    nameless = directory.with_name(f"{directory.name}.removed")
    with translated(directory):
        if nameless.exists():
            shutil.rmtree(nameless)
        if directory.exists():
            os.replace(directory, nameless)
            sync_directory(nameless.parent)
            shutil.rmtree(nameless)


class WriterLock:
    """The right to write into a directory, held by one process and freed by the system when it dies.

    Raises LockedError when somebody else holds it; with `wait`, waits until they are done.
    """

    def __init__(self, directory: Path, *, wait: bool = False) -> None:
        self._directory = directory
        self._operation = fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB
        self._path = directory / ".lock"

    def __enter__(self) -> Self:
        with translated(self._path):
            self._directory.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._descriptor, self._operation)
        except OSError as error:
            holder = os.read(self._descriptor, 64).decode("ascii", "replace").strip() or "unknown"
            os.close(self._descriptor)
            raise LockedError(
                f"process {holder} is already writing here",
                where=str(self._directory),
                remedy="wait for it to end, or write to another directory",
            ) from error
        try:
            with translated(self._path):
                os.ftruncate(self._descriptor, 0)
                os.pwrite(self._descriptor, str(os.getpid()).encode(), 0)
        except BaseException:
            os.close(self._descriptor)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # The file stays: removing it would let two processes lock two different files of the same name.
        os.close(self._descriptor)
