"""How tests are dealt to the workers of pytest-xdist: file by file, the costly directories first.

Guarantee: a file's tests, and those of files that share a costly start, run in one worker, so what they share is made
once. The files that take longest are dealt while there is something left to balance them with.
Price: a run is no shorter than its longest unit. The controller knows tests by their ids alone, which is why
the units are told from paths; marks would not reach it (pytest 9.2 ignores how xdist 3.8 names its groups).
"""

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

# One Ray cluster; one process that forks runs of `train`; one that forks groups of ranks.
TOGETHER = {
    "tests/engines/": "the cluster",
    "tests/end_to_end/test_going_back_survives_kill.py": "killed runs",
    "tests/end_to_end/test_train_survives_kill.py": "killed runs",
    "tests/training/test_ranks.py": "ranks",
    "tests/training/test_odd_ranks.py": "ranks",
    "tests/laws/test_same_batch_same_gradient_on_ranks.py": "ranks",
}
FIRST = ("end_to_end", "ranks", "engines", "workflows", "cli", "laws")


def unit_of(test: str) -> str:
    """The name of the unit that a test id belongs to."""
    file = test.partition("::")[0]
    return next((unit for start, unit in TOGETHER.items() if file.startswith(start)), file)


def place_of(test: str) -> int:
    """Units with a smaller number are dealt earlier."""
    file = test.partition("::")[0]
    return next((number for number, part in enumerate(FIRST) if part in file), len(FIRST))


class FileByFile(LoadFileScheduling):
    """In the order of collection."""

    def __init__(self, config: pytest.Config, log: Producer | None = None) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False  # by number of tests, which says nothing about their cost

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)
