"""A new source against a store that is there: as if both had been prepared together, the store first."""

from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from batchwright.documents.inputs import TextSource
from batchwright.documents.near_duplicates import NearDuplicates
from batchwright.engines.serial import SerialExecutor
from batchwright.foundation.errors import CorruptDataError, InputError
from batchwright.tokens import near
from batchwright.tokens.build import prepare_store
from batchwright.tokens.rejected import read_rejected
from batchwright.tokens.store import TokenStore
from batchwright.tokens.tokenizer import ByteTokenizer

from .material import near_texts, prepare, stored_bytes, texts, write_jsonl

NEAR: dict[str, Any] = {"near_duplicates": NearDuplicates()}
ORIGINALS, COPIES = near_texts(12)[:12], near_texts(12)[12:]
OLD, NEW = [*texts(20), *ORIGINALS], [*COPIES[:8], "only here, a text of its own", *texts(30), ORIGINALS[1]]


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("old")
    prepare(write_jsonl(place / "old.jsonl", OLD), place / "store", **NEAR)
    return place / "store"


def texts_in(store: TokenStore) -> set[str]:
    return {
        store.text_of(name, document)
        for name, split in store.splits.items()
        for document in range(split.document_count)
    }


def dropped(store: TokenStore) -> dict[str, int]:
    return {reason: amount["documents"] for reason, amount in store.manifest.tally["dropped"].items()}


@pytest.mark.parametrize("settings", [{}, NEAR])
def test_what_stays_is_what_would_stay_behind_the_other_store(
    old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    source = write_jsonl(tmp_path / "new.jsonl", NEW)
    store = prepare(source, tmp_path / "new", against=[old], **settings)
    (tmp_path / "both").mkdir()
    write_jsonl(tmp_path / "both" / "a.jsonl", OLD)
    write_jsonl(tmp_path / "both" / "b.jsonl", NEW)
    both = texts_in(prepare(tmp_path / "both", tmp_path / "together", **settings))
    assert texts_in(store) == both - set(OLD)
    reasons = dropped(store)
    assert reasons["in_other_store"] >= 18
    assert reasons.get("near_other_store", 0) == (8 if settings else 0)
    assert store.manifest.recipe["against"] == [TokenStore.open(old).fingerprint]
    monkeypatch.setattr(near, "RUN_ROWS", 97)
    monkeypatch.setattr(near, "RANGE_ROWS", 300)
    prepare(source, tmp_path / "small", against=[old], partition_bytes=3_000, **settings)
    assert stored_bytes(tmp_path / "small") == stored_bytes(tmp_path / "new")


def test_near_copies_that_are_kept_stand_on_the_side_of_the_other_stores_text(old: Path, tmp_path: Path) -> None:
    settings = {"near_duplicates": NearDuplicates(action="split"), "validation_fraction": 0.5}
    first = prepare(write_jsonl(tmp_path / "a.jsonl", ORIGINALS), tmp_path / "first", **settings)
    second = prepare(
        write_jsonl(tmp_path / "b.jsonl", COPIES), tmp_path / "second", against=[first.directory], **settings
    )

    def sides(store: TokenStore) -> dict[str, str]:
        return {
            store.text_of(name, document)[:5]: name
            for name, split in store.splits.items()
            for document in range(split.document_count)
        }

    assert sides(first) == sides(second)
    assert set(sides(first).values()) == {"train", "validation"}


def test_a_store_that_cannot_be_compared_with_is_refused(old: Path, tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "new.jsonl", NEW)
    plain = prepare(source, tmp_path / "plain")
    with pytest.raises(InputError, match="no signatures"):
        prepare(source, tmp_path / "x", against=[plain.directory], **NEAR)
    with pytest.raises(InputError, match=r"rows: 8 → 4"):
        prepare(source, tmp_path / "x", against=[old], near_duplicates=NearDuplicates(rows=4, bands=28))
    with pytest.raises(InputError, match="no finished token store"):
        prepare(source, tmp_path / "x", against=[tmp_path / "nowhere"])
    with pytest.raises(InputError, match="no document is left"):
        prepare(write_jsonl(tmp_path / "old.jsonl", OLD), tmp_path / "y", against=[old])


def test_signatures_that_are_damaged_or_of_another_shard_stop_the_job(old: Path, tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "new.jsonl", NEW)
    place = tmp_path / "store"
    prepare(write_jsonl(tmp_path / "old.jsonl", OLD), place, **NEAR)
    path = place / "00000.signatures"
    content = bytearray(path.read_bytes())
    content[5000] ^= 1
    path.write_bytes(content)
    with pytest.raises(CorruptDataError, match="do not match their checksum"):
        prepare(source, tmp_path / "x", against=[place], **NEAR)


def test_dropped_near_copies_are_kept_with_the_name_of_what_stayed(old: Path, tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "new.jsonl", [*NEW, *ORIGINALS[9:10], *COPIES[9:10]])
    again = [*near_texts(20)[15:20], *near_texts(20)[35:40]]
    write_jsonl(tmp_path / "more.jsonl", again)
    sources = [TextSource(name="tests", paths=(str(source), str(tmp_path / "more.jsonl")))]
    settings: dict[str, Any] = {"against": [old], "keep_rejected": True, **NEAR}
    store = prepare_store(sources, tmp_path / "store", tokenizer=ByteTokenizer(), executor=SerialExecutor(), **settings)
    copies = list(read_rejected(store.directory, "near_duplicate", 99))
    assert [line["text"] for line in copies] == again[5:]
    assert (store.directory / "manifest.json").exists()
    offsets = np.cumsum([0, *(len(orjson.dumps({"text": text})) + 1 for text in again)]).tolist()
    assert [line["detail"] for line in copies] == [f"near more.jsonl@{offset}" for offset in offsets[:5]]
    others = list(read_rejected(store.directory, "near_other_store", 99))
    assert [line["text"] for line in others] == [*COPIES[:8], *COPIES[9:10]]
    assert all(line["detail"].startswith("near store:old.jsonl@") for line in others)
    without = {**settings, "keep_rejected": False}
    plain = prepare_store(sources, tmp_path / "plain", tokenizer=ByteTokenizer(), executor=SerialExecutor(), **without)
    assert plain.fingerprint == store.fingerprint
