"""Durable operations of a process, counted where it asks the system for them; at one of them it is killed.

Nothing of the code under test knows about it, so it holds whoever performs them, a thread in the background too. Writes
count twice: before the first byte, and with half of them written.
"""

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from batchwright.foundation import files
from batchwright.training.run_log import RunLog

SYSTEM_CALLS = ("fsync", "rename", "replace", "mkdir", "unlink", "rmdir", "pwrite", "ftruncate")


class KillPoint:
    """Kills this process with signal 9 before its durable operation number `at`, and leaves that one's name in `note`;
    0: it lives, and `names` are all of them. What `afterwards` does is done
    when all its threads are dead, in a copy of the process; a pipe that it holds tells when that is over."""

    def __init__(self, at: int, note: Path, *, afterwards: Callable[[], None] | None = None) -> None:
        self._at, self._note, self._afterwards = at, note, afterwards
        self._lock = threading.RLock()
        self.names: list[str] = []

    def before(self, name: str) -> None:
        """An operation is about to be done."""
        thread = threading.current_thread()
        if thread is not threading.main_thread():
            name = f"{name} in thread {thread.name}"
        with self._lock:  # of two threads one is killed at the number, and the other does nothing more
            self.names.append(name)
            if len(self.names) == self._at:
                self._note.write_text(name, encoding="utf-8")
                self._after_death(os.getpid())
                os.kill(os.getpid(), signal.SIGKILL)

    def _after_death(self, process: int) -> None:
        if self._afterwards is None or os.fork() != 0:
            return
        while os.getppid() == process:
            time.sleep(0.001)
        try:
            self._afterwards()
        finally:
            os._exit(0)

    def set(self) -> None:
        for name in SYSTEM_CALLS:
            setattr(os, name, self._announced(name, getattr(os, name)))
        os.write = self._halved(os.write)
        self._halve_file_of(files.AtomicFile, "__enter__")
        self._halve_file_of(RunLog, "__init__")

    def _announced(self, name: str, honest: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            self.before(name)
            return honest(*arguments, **named)

        return call

    def _halved(self, write: Callable[..., int]) -> Callable[..., int]:
        """A write call as two; the arguments before the bytes are whatever `write` takes."""

        def call(*arguments: Any) -> int:
            *place, content = arguments
            view = memoryview(content).cast("B")
            half = len(view) // 2
            self.before("write")
            written = write(*place, view[:half])
            self.before("half a write")
            return written if written < half else written + write(*place, view[half:])

        return call

    def _halve_file_of(self, kind: Any, opened_by: str) -> None:
        honest = getattr(kind, opened_by)

        def opens(this: Any, *arguments: Any, **named: Any) -> Any:
            self.before("open")
            answer = honest(this, *arguments, **named)
            this._file = _Halved(this._file, self._halved(this._file.write))
            return answer

        setattr(kind, opened_by, opens)


class _Halved:
    """A file whose writes are two."""

    def __init__(self, file: Any, write: Callable[..., int]) -> None:
        self._file, self.write = file, write

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)
