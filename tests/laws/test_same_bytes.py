"""Law 8: a store's bytes depend on input, recipe and seed alone: not on workers, partitions, engine.

The broken twin ends a shard wherever a partition ends.
"""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from batchwright.engines.local import LocalExecutor
from batchwright.engines.serial import SerialExecutor
from batchwright.tokens import assembly
from batchwright.tokens.partial import step_to_json

from ..tokens.material import prepare, small_tokenizer, stored_bytes, texts, write_jsonl


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("text")
    for number in range(4):
        write_jsonl(place / f"{number}.jsonl", [f"{number % 3}: {text}" for text in texts(150)])
    (place / "long.txt").write_text("one document longer than a shard. " * 400)
    return place


@pytest.fixture(scope="module")
def reference(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("reference") / "store"
    store = prepare(source, out, small_tokenizer())
    assert len(store.split("train").shards) > 3
    assert len(store.split("validation").shards) > 1
    return stored_bytes(out)


@pytest.mark.parametrize("partition_bytes", [1_999, 5_000, 2**20])
def test_partitions_of_any_size_give_the_same_bytes(
    source: Path, reference: dict[str, bytes], tmp_path: Path, partition_bytes: int
) -> None:
    prepare(source, tmp_path / "store", small_tokenizer(), partition_bytes=partition_bytes)
    assert stored_bytes(tmp_path / "store") == reference


@pytest.mark.parametrize("workers", [2, 3])
def test_any_number_of_workers_gives_the_same_bytes(
    source: Path, reference: dict[str, bytes], tmp_path: Path, workers: int
) -> None:
    executor = LocalExecutor(workers)
    prepare(source, tmp_path / "store", small_tokenizer(), executor, partition_bytes=10_000 * workers)
    assert stored_bytes(tmp_path / "store") == reference


@pytest.mark.skipif(importlib.util.find_spec("gigatoken") is None, reason="gigatoken has no wheel for this platform")
def test_either_engine_gives_the_same_bytes(source: Path, reference: dict[str, bytes], tmp_path: Path) -> None:
    prepare(source, tmp_path / "store", small_tokenizer("gigatoken"))
    assert stored_bytes(tmp_path / "store") == reference


def test_tasks_that_end_in_another_order_give_the_same_bytes(
    source: Path, reference: dict[str, bytes], tmp_path: Path
) -> None:
    class Backwards(SerialExecutor):
        def run(self, tasks: Any) -> Any:
            return super().run(reversed(list(tasks)))

    prepare(source, tmp_path / "store", small_tokenizer(), Backwards(), partition_bytes=3_000)
    assert stored_bytes(tmp_path / "store") == reference


def test_shards_that_end_with_their_partition_are_caught(
    source: Path, reference: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = assembly.plan_shards

    def broken(*arguments: Any) -> list[list[assembly.Piece]]:
        return [[piece] for pieces in honest(*arguments) for piece in pieces]

    monkeypatch.setattr(assembly, "plan_shards", broken)
    prepare(source, tmp_path / "store", small_tokenizer(), partition_bytes=3_000)
    assert stored_bytes(tmp_path / "store") != reference


def test_steps_travel_to_workers_by_name_and_settings() -> None:
    from batchwright.documents.cleaning import DEFAULT_STEPS
    from batchwright.tokens.partial import step_from_json

    assert tuple(step_from_json(step_to_json(step)) for step in DEFAULT_STEPS) == DEFAULT_STEPS
