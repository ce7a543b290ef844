"""Law 8: a store's bytes depend on input, recipe and seed alone: not on workers, partitions, engine.

The broken twins end a shard wherever a partition ends, and look for near-duplicates within each partition alone.
"""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from batchwright.documents.near_duplicates import NearDuplicates
from batchwright.engines.local import LocalExecutor
from batchwright.engines.serial import SerialExecutor
from batchwright.tokens import assembly, near
from batchwright.tokens.partial import step_to_json

from ..tokens.material import near_texts, prepare, small_tokenizer, stored_bytes, texts, write_jsonl


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


@pytest.fixture(scope="module")
def near_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("near")
    for number in range(2):
        write_jsonl(place / f"{number}.jsonl", [*texts(40), *near_texts(20 + number)])
    return place


@pytest.mark.parametrize("action", ["drop", "split"])
def test_near_duplicates_are_the_same_for_any_partitions_ranges_workers_and_order(
    near_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, action: Any
) -> None:
    settings = {"near_duplicates": NearDuplicates(action=action)}
    store = prepare(near_source, tmp_path / "reference", **settings)
    # 41 copies differ in a word; 40 others repeat a text, of 40 texts that hold 2 repetitions themselves
    dropped = {reason: amount["documents"] for reason, amount in store.manifest.tally["dropped"].items()}
    assert dropped["duplicate"] > 60
    assert dropped.get("near_duplicate", 0) == (21 if action == "drop" else 0)
    reference = stored_bytes(tmp_path / "reference")

    class Backwards(SerialExecutor):
        def run(self, tasks: Any) -> Any:
            return super().run(reversed(list(tasks)))

    monkeypatch.setattr(near, "RUN_ROWS", 97)
    monkeypatch.setattr(near, "RANGE_ROWS", 300)
    prepare(near_source, tmp_path / "small", None, Backwards(), partition_bytes=5_000, **settings)
    assert stored_bytes(tmp_path / "small") == reference
    monkeypatch.undo()
    if action == "split":
        return
    prepare(near_source, tmp_path / "workers", None, LocalExecutor(2), partition_bytes=30_000, **settings)
    assert stored_bytes(tmp_path / "workers") == reference


def test_near_duplicates_that_are_sought_within_partitions_are_caught(
    near_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = near.compare_range

    def broken(parameters: Any, prefix: Path) -> Any:
        return honest({**parameters, **{of: parameters[of][:1] for of in ("parts", "bands", "signatures")}}, prefix)

    settings = {"near_duplicates": NearDuplicates()}
    prepare(near_source, tmp_path / "reference", **settings)
    monkeypatch.setattr(near, "compare_range", broken)
    prepare(near_source, tmp_path / "store", partition_bytes=3_000, **settings)
    assert stored_bytes(tmp_path / "store") != stored_bytes(tmp_path / "reference")


def test_steps_travel_to_workers_by_name_and_settings() -> None:
    from batchwright.documents.cleaning import DEFAULT_STEPS
    from batchwright.tokens.partial import step_from_json

    assert tuple(step_from_json(step_to_json(step)) for step in DEFAULT_STEPS) == DEFAULT_STEPS
