"""One Ray cluster for all tests of a run: three nodes with one core each."""

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[Any]:
    """The cluster of `ray_nodes`."""
    pytest.importorskip("ray", reason="the ray extra is not installed")
    from tests.engines.cluster import ray_nodes

    with ray_nodes(3) as cluster:
        yield cluster
