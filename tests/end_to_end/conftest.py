"""One nursery of training runs for all tests of a process."""

from collections.abc import Iterator

import pytest

from tests.end_to_end.train_kills import Nursery, nursery


@pytest.fixture(scope="session")
def starter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    with nursery(tmp_path_factory.mktemp("nursery")) as process:
        yield process
