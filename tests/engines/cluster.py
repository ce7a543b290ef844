"""A Ray cluster of several nodes on one machine: a head without cores and nodes with one core each."""

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from ray.cluster_utils import Cluster

MiB = 2**20
_STORE = {"object_store_memory": 96 * MiB}


@contextmanager
def ray_nodes(count: int) -> Iterator[Any]:
    """A ray.cluster_utils.Cluster that this process is connected to, so that its workers stay warm between jobs. A node
    that dies is missed after a second."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.pop("RAY_ADDRESS", None)
    # Sockets have short names: pytest's own directories may be too deep.
    with tempfile.TemporaryDirectory(prefix="bw-ray-") as home:
        cluster = Cluster(
            initialize_head=True,
            head_node_args={
                "num_cpus": 0,
                **_STORE,
                "include_dashboard": False,
                "temp_dir": str(Path(home)),
                "_system_config": {"health_check_period_ms": 500, "health_check_failure_threshold": 2},
            },
        )
        try:
            for _ in range(count):
                add_node(cluster)
            cluster.wait_for_nodes()
            ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
            yield cluster
        finally:
            ray.shutdown()
            cluster.shutdown()


def add_node(cluster: Any) -> None:
    """One more node with one core."""
    cluster.add_node(num_cpus=1, **_STORE)
