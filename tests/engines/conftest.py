"""One Ray cluster for all tests of a run: a head without cores and three nodes with one core each."""

import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

MiB = 2**20


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[Any]:
    """A ray.cluster_utils.Cluster that this process is connected to, so that its workers stay warm between tests."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.pop("RAY_ADDRESS", None)
    ray: Any = pytest.importorskip("ray", reason="the ray extra is not installed")
    from ray.cluster_utils import Cluster

    # Sockets have short names: pytest's own directories may be too deep.
    with tempfile.TemporaryDirectory(prefix="bw-ray-") as home:
        cluster = Cluster(
            initialize_head=True,
            head_node_args={
                "num_cpus": 0,
                "object_store_memory": 96 * MiB,
                "include_dashboard": False,
                "temp_dir": str(Path(home)),
                "_system_config": {"health_check_period_ms": 500, "health_check_failure_threshold": 2},
            },
        )
        try:
            for _ in range(3):
                cluster.add_node(num_cpus=1, object_store_memory=96 * MiB)
            cluster.wait_for_nodes()
            ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
            yield cluster
        finally:
            ray.shutdown()
            cluster.shutdown()
