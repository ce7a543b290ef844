"""Repetition: floor or ceil times, by the text's own id, for training only, every copy counted and numbered."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from batchwright.documents.document import Document
from batchwright.documents.inputs import TextSource
from batchwright.engines.serial import SerialExecutor
from batchwright.foundation.errors import InputError
from batchwright.tokens.build import prepare_store
from batchwright.tokens.infilling import Infilling
from batchwright.tokens.repetition import Repetition, fates_of_copies
from batchwright.tokens.store import TokenStore

from .material import small_tokenizer, stored_bytes, texts, write_jsonl


def repeated_store(source: Path, out: Path, repeat: float, **settings: object) -> TokenStore:
    return prepare_store(
        [
            TextSource(name="a", paths=(str(source),), repeat=repeat),
            TextSource(name="b", paths=(str(source.parent / "b.jsonl"),)),
        ],
        out,
        tokenizer=small_tokenizer(),
        executor=SerialExecutor(),
        validation_fraction=0.2,
        shard_tokens=1500,
        **settings,  # type: ignore[arg-type]
    )


@pytest.fixture
def source(tmp_path: Path) -> Path:
    write_jsonl(tmp_path / "b.jsonl", [f"the other source, {n}" for n in range(9)])
    return write_jsonl(tmp_path / "in.jsonl", texts())


def test_every_document_stands_floor_or_ceil_times_and_the_mean_is_kept() -> None:
    documents = [Document(f"text {n}".encode(), 0, n, n % 2) for n in range(4000)]
    stored = list(Repetition(repeats={0: 2.25}, seed=1).repeated(documents))
    times = Counter((document.offset, document.source) for document in stored)
    assert {count for (_, source), count in times.items() if source == 0} == {2, 3}
    assert {count for (_, source), count in times.items() if source == 1} == {1}
    assert abs(len(stored) - (2000 + 2.25 * 2000)) < 100
    assert [document.copy for document in stored[:3]] == [0, 1, stored[2].copy]
    again = list(Repetition(repeats={0: 2.25}, seed=1).repeated(documents[10:]))
    assert again == [document for document in stored if document.offset >= 10]


def test_a_store_holds_copies_in_training_only_and_counts_them(source: Path, tmp_path: Path) -> None:
    plain = repeated_store(source, tmp_path / "plain", 1.0)
    store = repeated_store(source, tmp_path / "store", 1.5)
    other = repeated_store(source, tmp_path / "other", 1.5, partition_bytes=700)
    assert stored_bytes(store.directory) == stored_bytes(other.directory)
    origins = {
        split: [store.provenance(split, number) for number in range(store.split(split).document_count)]
        for split in ("train", "validation")
    }
    copies = [origin for origin in origins["train"] if origin.copy]
    assert copies
    assert {origin.source for origin in copies} == {"a"}
    assert not any(origin.copy for origin in origins["validation"])
    held_out = {origin.id for origin in origins["validation"]}
    assert not held_out & {origin.id for origin in origins["train"]}
    tally = store.manifest.tally
    assert tally["repeated"] == {"documents": len(copies), "bytes": sum(origin.text_bytes for origin in copies)}
    assert store.document_count == tally["kept"]["documents"] + len(copies)
    assert {**tally, "repeated": None} == {**plain.manifest.tally, "repeated": None}
    assert [origin.id for origin in origins["train"] if not origin.copy] == [
        plain.provenance("train", number).id for number in range(plain.split("train").document_count)
    ]
    assert "repeat" not in str(plain.manifest.sources)
    assert [one.get("repeat") for one in store.manifest.sources] == [1.5, None]


def test_copies_are_cut_at_places_of_their_own(source: Path, tmp_path: Path) -> None:
    store = repeated_store(source, tmp_path / "store", 4.0, infilling=Infilling(rate=1.0))
    by_id: dict[str, list[list[int]]] = {}
    for number in range(store.split("train").document_count):
        origin = store.provenance("train", number)
        if origin.source == "a":
            by_id.setdefault(origin.id, []).append(store.ids_of("train", number).tolist())
    assert {len(ids) for ids in by_id.values()} == {4}
    assert all(len({tuple(one) for one in ids}) > 1 for ids in by_id.values())


def test_a_twin_that_lets_copies_of_held_out_texts_into_training_is_caught() -> None:
    fates, copies = np.array([1, 0, 2, 0, 0, 0], np.uint8), np.array([0, 1, 0, 1, 0, 1])
    assert fates_of_copies(fates, copies, train=1, gone=9).tolist() == [1, 1, 2, 9, 0, 9]
    leaking = np.where(copies > 0, 1, fates)
    assert leaking.tolist() != fates_of_copies(fates, copies, train=1, gone=9).tolist()


@pytest.mark.parametrize("repeat", [0.5, 0.0, float("nan"), 101.0])
def test_a_source_is_repeated_1_to_100_times(repeat: float) -> None:
    with pytest.raises(InputError, match="1 to 100 times"):
        TextSource(name="a", paths=("x",), repeat=repeat)
