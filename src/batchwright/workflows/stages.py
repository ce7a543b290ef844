"""Work in named stages, each done once: a result is kept with the key of what it depends on, and found again.

Guarantee: a stage whose dependencies are the same as when its result was written is not run again; a changed one is,
and with it every stage that depends on it. A stage that is killed leaves no result. Price: one small JSON file per
stage.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from batchwright.foundation.errors import CorruptDataError
from batchwright.foundation.files import read_json, write_json
from batchwright.foundation.fingerprint import fingerprint

Json = dict[str, Any]


class Stages:
    """The results under one directory. `ran` names the stages that had to be run by this object."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.keys: dict[str, str] = {}
        self.ran: list[str] = []

    def done(self, name: str, depends: object, run: Callable[[], Json]) -> Json:
        """The stage's result: the one that is kept, or that of `run`."""
        key = fingerprint({"stage": name, "depends": depends})
        self.keys[name] = key
        kept = self._kept(name, key)
        if kept is not None:
            return kept
        result = run()
        self._directory.mkdir(parents=True, exist_ok=True)
        write_json(self._file(name), {"key": key, "result": result})
        self.ran.append(name)
        return result

    def is_done(self, name: str, depends: object) -> bool:
        return self._kept(name, fingerprint({"stage": name, "depends": depends})) is not None

    def read(self, name: str) -> Json:
        """The result of a stage that `done` was called for before."""
        kept = self._kept(name, self.keys[name])
        assert kept is not None, f"stage {name} is read before it is done"
        return kept

    def _file(self, name: str) -> Path:
        return self._directory / f"{name}.json"

    def _kept(self, name: str, key: str) -> Json | None:
        if not self._file(name).exists():
            return None
        try:
            kept = read_json(self._file(name))
        except CorruptDataError:
            return None  # a result can always be made again
        return kept["result"] if isinstance(kept, dict) and kept.get("key") == key else None
