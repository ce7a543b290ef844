"""The order certificate: its definition in plain Python, and what it must notice."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xxhash

from batchwright.batches.certificate import Certifier, combined
from batchwright.batches.geometry import BatchGeometry
from batchwright.batches.loader import BatchLoader
from batchwright.sequences.index_build import build_index
from batchwright.sequences.plan import Plan
from tests.sequences.small_store import write_store

Rows = tuple[Any, Any, Any, Any]


@pytest.fixture
def rows() -> Rows:
    """(inputs, targets, loss_mask, positions) of 21 rows of 13 slots."""
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 60_000, (2, 21, 13))
    return ids[0], ids[1], rng.random((21, 13)) < 0.9, rng.integers(0, 2**40, 21)


def reference(inputs: Any, targets: Any, loss_mask: Any, positions: Any) -> int:
    total = 0
    for b in range(inputs.shape[0]):
        record = struct.pack("<q", positions[b]) + inputs[b].astype("<u4").tobytes()
        record += targets[b].astype("<u4").tobytes() + loss_mask[b].astype("u1").tobytes()
        total += xxhash.xxh3_64_intdigest(record)
    return total % 2**64


def test_the_certificate_is_its_definition_for_every_dtype(rows: Rows) -> None:
    inputs, targets, loss_mask, positions = rows
    for dtype in (np.int64, np.int32, np.uint32, np.uint16):
        found = Certifier(13).certificate(inputs.astype(dtype), targets.astype(dtype), loss_mask, positions)
        assert found == reference(*rows)


def test_it_notices_a_changed_id_a_moved_mask_and_exchanged_positions(rows: Rows) -> None:
    whole = Certifier(13).certificate(*rows)
    for part in range(4):
        changed = [array.copy() for array in rows]
        changed[part][3] = np.roll(changed[part][3], 1) if part < 3 else changed[part][3] + 1
        if part == 2:
            changed[part][3] = ~rows[part][3]
        assert Certifier(13).certificate(*changed) != whole
    exchanged = rows[3].copy()
    exchanged[[0, 1]] = exchanged[[1, 0]]
    assert Certifier(13).certificate(*rows[:3], exchanged) != whole


def test_certificates_add_up_over_any_cut(rows: Rows) -> None:
    whole = Certifier(13).certificate(*rows)
    for cut in (1, 8, 20):
        parts = [tuple(array[part] for array in rows) for part in (slice(0, cut), slice(cut, None))]
        assert combined(Certifier(13).certificate(*part) for part in parts) == whole


def test_the_certificate_of_a_known_stream_never_changes(tmp_path: Path) -> None:
    plan = Plan.of(build_index(write_store(tmp_path, [5, 3, 9, 2, 20, 1, 7]), sequence_length=6), seed=0)
    geometry = BatchGeometry(global_batch_size=4, micro_batch_size=3, sequence_length=6)
    steps = [BatchLoader(plan, geometry).step_at(number) for number in range(2)]
    for step in steps:
        step.drain()
    assert [f"{step.certificate:016x}" for step in steps] == KNOWN


KNOWN = ["f87c0c82325c3547", "5ce214635ab6e906"]
