"""What a power cut takes that a kill leaves: everything the system had not been asked to bring to the disk.

    rename A → B ── fsync of their directory ── done for good
    rename A → B ── power cut                ── A is still A, or not: as far as the disk had come by itself
    write, write ── fsync ── write ── power cut ── the first two are there

Assumed of the file system, as of ext4, XFS and btrfs: names change on the disk in the order in which they were changed,
and what was synced has a name, and the directories above it theirs. Only calls of this process are seen, below one
directory, by their paths (Linux).
"""

import itertools
import os
import random
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Undo = Callable[[], None]


@dataclass(frozen=True, kw_only=True)
class _Change:
    """A name that was made, changed or removed, and may not be so on the disk yet."""

    place: Path
    is_new_directory: bool
    undo: Undo

    def lasts(self, synced: Path) -> bool:
        """Whether bringing this path to the disk brings the change there, too."""
        return self.place.parent == synced or (self.is_new_directory and synced.is_relative_to(self.place))


class Unsynced:
    """Follows the calls of this process below `root`; `cut` undoes, from the last one back, some of the changed names
    that were not synced, and shortens every file to what was."""

    def __init__(self, root: Path, *, seed: int, files_count: bool = True) -> None:
        self._root, self._chance = root, random.Random(seed)
        self._numbers = itertools.count()
        self._files_count = files_count  # False, the broken twin: a file that is synced is not
        self._vault = Path(tempfile.mkdtemp(prefix=".vault-", dir=root.parent))
        self._pending: list[_Change] = []
        self._synced_bytes = {path.stat().st_ino: path.stat().st_size for path in root.rglob("*") if path.is_file()}
        self._honest = {name: getattr(os, name) for name in ("rename", "mkdir", "link")}

    def set(self) -> None:
        for name, follow in (
            ("rename", self._renaming),
            ("replace", self._renaming),
            ("unlink", self._unlinking),
            ("rmdir", self._removing),
            ("mkdir", self._making),
        ):
            setattr(os, name, self._followed(getattr(os, name), follow))
        sync = os.fsync

        def fsync(descriptor: int) -> None:
            sync(descriptor)
            self._synced(descriptor)

        os.fsync = fsync

    def cut(self) -> None:
        for change in reversed(self._pending[self._chance.randint(0, len(self._pending)) :]):
            change.undo()
        for path in self._root.rglob("*"):
            if path.is_file():
                lasting = self._synced_bytes.get(path.stat().st_ino, 0)
                if path.stat().st_size > lasting:
                    os.truncate(path, lasting)
        shutil.rmtree(self._vault)

    def _followed(self, honest: Callable[..., Any], follow: Callable[..., _Change]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            change = follow(*arguments, **named)
            answer = honest(*arguments, **named)  # that fails has changed nothing
            self._pending.append(change)
            return answer

        return call

    def _synced(self, descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        if path.is_dir() or self._files_count:
            self._pending = [change for change in self._pending if not change.lasts(path)]
            self._synced_bytes[os.fstat(descriptor).st_ino] = os.fstat(descriptor).st_size

    def _kept(self, path: Path) -> Undo:
        """A second name for a file that is about to lose its own, so that it can be given back."""
        if not path.is_file():
            return lambda: None
        copy = self._vault / str(next(self._numbers))
        self._honest["link"](path, copy)
        return lambda: self._honest["link"](copy, path)

    def _renaming(self, source: Any, target: Any) -> _Change:
        old, new = Path(source), Path(target)
        give_back = self._kept(new)

        def undo() -> None:
            self._honest["rename"](new, old)
            give_back()

        return _Change(place=new, is_new_directory=False, undo=undo)

    def _unlinking(self, path: Any, **named: Any) -> _Change:
        place = _place(path, **named)
        give_back = self._kept(place)
        # Of a directory whose end has reached the disk, no file comes back.
        return _Change(place=place, is_new_directory=False, undo=lambda: give_back() if place.parent.is_dir() else None)

    def _removing(self, path: Any, **named: Any) -> _Change:
        place = _place(path, **named)
        return _Change(place=place, is_new_directory=False, undo=lambda: self._honest["mkdir"](place))

    def _making(self, path: Any, *_: Any, **named: Any) -> _Change:
        return _Change(place=Path(path), is_new_directory=True, undo=lambda: shutil.rmtree(path, ignore_errors=True))


def _place(path: Any, *, dir_fd: int | None = None, **_: Any) -> Path:
    return Path(path) if dir_fd is None else Path(os.readlink(f"/proc/self/fd/{dir_fd}")) / path
