"""Import and export as a whole: what is not there, what does not fit, crashes, full stores, long documents."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from batchwright.adapters import exporting
from batchwright.adapters.exporting import export_store
from batchwright.adapters.importing import import_store
from batchwright.foundation.errors import CorruptDataError, InputError, LockedError
from batchwright.foundation.files import WriterLock
from batchwright.tokens import id_shards, id_store
from batchwright.tokens.store import TokenStore
from batchwright.tokens.verification import verify
from tests.adapters.documents_of_ids import EOT, Documents, held, store_of
from tests.tokens.material import prepare, stored_bytes, texts, write_jsonl

GIVEN: Documents = [[1, 2, 3], [4], [500, 501], [7, 7, 7, 7]]


def bring(place: Path, out: Path, **settings: Any) -> TokenStore:
    return import_store([str(place)], out, form="nanogpt", **{"vocabulary_size": 600, "eot_id": EOT, **settings})


@pytest.mark.parametrize("items", [[1, 2, EOT, 3, 600, EOT], [1, 2, EOT, 3, 65_535, EOT]])
def test_an_id_outside_the_vocabulary_is_named_with_its_document(tmp_path: Path, items: list[int]) -> None:
    np.array(items, "<u2").tofile(tmp_path / "it.bin")
    with pytest.raises(InputError, match=f"document 1 holds the id {items[4]:,} at its item 1") as caught:
        bring(tmp_path / "it.bin", tmp_path / "store")
    assert "it.bin" in str(caught.value)
    assert not (tmp_path / "store" / "manifest.json").exists()


def test_a_vocabulary_must_be_named_and_not_contradict_itself(tmp_path: Path) -> None:
    np.array([1, 256], "<u2").tofile(tmp_path / "it.bin")
    with pytest.raises(InputError, match="vocabulary is not known"):
        import_store([str(tmp_path / "it.bin")], tmp_path / "a", form="nanogpt", vocabulary_size=600)
    with pytest.raises(InputError, match="outside a vocabulary"):
        bring(tmp_path / "it.bin", tmp_path / "a", eot_id=600)
    with pytest.raises(InputError, match="257 ids, 600 was given"):
        bring(tmp_path / "it.bin", tmp_path / "a", tokenizer="bytes")
    store = import_store([str(tmp_path / "it.bin")], tmp_path / "b", form="nanogpt", tokenizer="bytes")
    assert store.text_of("train", 0) == "\x01"


def test_an_unknown_vocabulary_says_so(tmp_path: Path) -> None:
    store = store_of(tmp_path, GIVEN)
    assert store.text_of("train", 0) == "<1><2><3>"
    with pytest.raises(InputError, match="without their vocabulary"):
        store.tokenizer.encode_batch(["a"])
    assert "unknown vocabulary of size 60000" in store.manifest.tokenizer["hash"]


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        bring(tmp_path / "absent.bin", tmp_path / "a")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no \.bin file"):
        bring(tmp_path / "empty", tmp_path / "a")
    (tmp_path / "nothing.bin").touch()
    with pytest.raises(InputError, match="no document is left"):
        bring(tmp_path / "nothing.bin", tmp_path / "a")


def test_another_import_does_not_overwrite_a_store(tmp_path: Path) -> None:
    store_of(tmp_path, GIVEN)
    with pytest.raises(InputError, match=r"not overwritten; .*60,000 ids \(their vocabulary unknown\) → 600"):
        bring(tmp_path / "given.bin", tmp_path / "store")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "thesis.tex").touch()
    for write in (lambda out: bring(tmp_path / "given.bin", out), lambda out: _export(tmp_path / "store", out)):
        with pytest.raises(InputError, match=r"thesis\.tex"):
            write(tmp_path / "foreign")


def _export(store: Path, out: Path) -> None:
    export_store(TokenStore.open(store), out, to="nanogpt")


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    store_of(tmp_path, GIVEN)
    for out, write in (
        (tmp_path / "b", lambda out: bring(tmp_path / "given.bin", out)),
        (tmp_path / "c", lambda out: _export(tmp_path / "store", out)),
    ):
        with WriterLock(out), pytest.raises(LockedError):
            write(out)


class _Killed(BaseException):
    """As kill -9 would: nothing of ours catches it."""


@pytest.mark.parametrize("at", range(0, 40, 3))
def test_killed_at_any_rename_it_begins_again_and_writes_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    whole = store_of(tmp_path / "a", GIVEN, shard_tokens=4)
    count, replace = 0, os.replace

    def dying(source: Any, target: Any) -> None:
        nonlocal count
        if count == at:
            raise _Killed
        count += 1
        replace(source, target)

    for name, write in (
        ("b", lambda: bring(tmp_path / "a" / "given.bin", tmp_path / "b", vocabulary_size=60_000, shard_tokens=4)),
        ("c", lambda: export_store(whole, tmp_path / "c", to="megatron")),
    ):
        count = 0
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", dying)
            patch.setattr(Path, "replace", lambda self, target: dying(self, target))
            try:
                write()
            except _Killed:
                assert not (tmp_path / name / "manifest.json").exists()
        write()
    assert stored_bytes(tmp_path / "b") == stored_bytes(tmp_path / "a" / "store")
    assert verify(TokenStore.open(tmp_path / "b")).sound
    export_store(whole, tmp_path / "d", to="megatron")
    assert stored_bytes(tmp_path / "c") == stored_bytes(tmp_path / "d")


def test_an_import_that_was_begun_differently_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.array([1, EOT], "<u2").tofile(tmp_path / "it.bin")
    with monkeypatch.context() as patch:
        patch.setattr(id_store, "_publish", lambda *_: (_ for _ in ()).throw(_Killed()))
        with pytest.raises(_Killed):
            bring(tmp_path / "it.bin", tmp_path / "store")
    with pytest.raises(InputError, match=r"tokenizer: 600 ids \(their vocabulary unknown\) → 700 ids"):
        bring(tmp_path / "it.bin", tmp_path / "store", vocabulary_size=700)
    assert held(bring(tmp_path / "it.bin", tmp_path / "store")) == [[1, EOT]]


def test_an_unfinished_export_of_something_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = store_of(tmp_path, GIVEN)
    with monkeypatch.context() as patch:
        patch.setattr(exporting, "_entry", lambda _: (_ for _ in ()).throw(_Killed()))
        with pytest.raises(_Killed):
            export_store(store, tmp_path / "out", to="nanogpt")
    with pytest.raises(InputError, match="unfinished export"):
        export_store(store, tmp_path / "out", to="parquet")
    assert not export_store(store, tmp_path / "out", to="nanogpt").found_finished


def test_a_file_missing_from_a_finished_export_is_found(tmp_path: Path) -> None:
    store = store_of(tmp_path, GIVEN)
    export_store(store, tmp_path / "out", to="nanogpt")
    (tmp_path / "out" / "train.bin").unlink()
    with pytest.raises(CorruptDataError, match="missing"):
        export_store(store, tmp_path / "out", to="nanogpt")


def test_a_long_document_passes_in_pieces_and_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = [[1, 2], [*range(10, 200)], [3], [*range(10, 90)]]
    whole = store_of(tmp_path / "a", given, shard_tokens=50)
    for module, name in ((id_shards, "LONG_IDS"),):
        monkeypatch.setattr(module, name, 16)
    monkeypatch.setattr("batchwright.adapters.id_files.BLOCK_IDS", 8)
    monkeypatch.setattr("batchwright.adapters.nanogpt.blocks_of", _small_blocks)
    pieces = bring(tmp_path / "a" / "given.bin", tmp_path / "b", vocabulary_size=60_000, shard_tokens=50)
    assert held(pieces) == held(whole)
    assert stored_bytes(tmp_path / "b") == stored_bytes(tmp_path / "a" / "store")


def _small_blocks(*arguments: Any) -> Any:
    from batchwright.adapters.id_files import blocks_of

    return blocks_of(*arguments, 8)


@pytest.mark.parametrize(("items", "says"), [([5] * 40 + [700, EOT], "id 700"), ([5] * 40 + [EOT] + [5] * 3, "inside")])
def test_a_long_document_is_checked_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, items: list[int], says: str
) -> None:
    from tests.adapters.test_exchange_formats import write_megatron

    monkeypatch.setattr(id_shards, "LONG_IDS", 16)
    write_megatron(tmp_path / "it", [items], [0, 1])
    with pytest.raises(InputError, match=says) as caught:
        import_store([str(tmp_path / "it")], tmp_path / "store", form="megatron", vocabulary_size=600, eot_id=EOT)
    assert "item 40" in str(caught.value)


def test_a_prepared_store_keeps_its_text_through_every_format(tmp_path: Path) -> None:
    store = prepare(write_jsonl(tmp_path / "text.jsonl", texts()), tmp_path / "store")
    for form in ("megatron", "nanogpt", "parquet"):
        export_store(store, tmp_path / form, to=form)  # type: ignore[arg-type]
        back = import_store([str(tmp_path / form)], tmp_path / f"{form}-back", form=form)  # type: ignore[arg-type]
        for split in ("train", "validation"):
            count = store.split(split).document_count
            assert [back.text_of(split, n) for n in range(count)] == [store.text_of(split, n) for n in range(count)]
