"""Real text that every Python has: the sources of its own standard library, 10–32 MB written by hundreds of people."""

import sysconfig
from pathlib import Path

from batchwright.documents.inputs import TextSource
from batchwright.foundation.errors import InputError

NAME = "python-standard-library"
LICENCE = "PSF-2.0"
_NOT_ITS_OWN = frozenset({"site-packages", "dist-packages", "__pycache__"})


def standard_library() -> TextSource:
    """The `*.py` files of the running Python's standard library, without what was installed into it later."""
    home = Path(sysconfig.get_paths()["stdlib"])
    paths = [str(home / "*.py")]
    paths += [str(folder / "**" / "*.py") for folder in sorted(home.iterdir()) if _own_sources(folder)]
    if not any(home.glob("*.py")):
        raise InputError(
            "this Python has no sources of its standard library",
            where=str(home),
            remedy="batchwright demo --text PATH with any text of a few megabytes",
        )
    return TextSource(name=NAME, paths=tuple(paths), licence=LICENCE)


def standard_library_place() -> str:
    return sysconfig.get_paths()["stdlib"]


def _own_sources(folder: Path) -> bool:
    return folder.is_dir() and folder.name not in _NOT_ITS_OWN and any(folder.rglob("*.py"))
