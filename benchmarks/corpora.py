"""Real text for the benchmarks, made once from what every machine with this project has: Python's sources."""

import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

CORPORA = Path(__file__).parent / ".corpora"


def python_sources() -> Iterator[Path]:
    """The directories of the standard library and of the installed packages. Take `**/*.py` of them: packages also
    carry other files, among them data that is damaged on purpose."""
    yield Path(sysconfig.get_path("stdlib"))
    yield Path(sysconfig.get_path("purelib", vars={"base": sys.prefix}))
