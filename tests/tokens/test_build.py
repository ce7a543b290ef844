"""Preparing: what goes in comes out, once, in order; what is done is left alone; what changed is named."""

import importlib.util
import json
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from batchwright.documents.cleaning import DEFAULT_STEPS
from batchwright.documents.inputs import TextSource
from batchwright.documents.mojibake import RepairMojibake
from batchwright.engines.serial import SerialExecutor
from batchwright.foundation.errors import CorruptDataError, InputError, LockedError
from batchwright.foundation.execution import Manifest, Task
from batchwright.foundation.files import WriterLock
from batchwright.foundation.fingerprint import hash_file
from batchwright.tokens import deciding_versions
from batchwright.tokens.build import Progress, prepare_store
from batchwright.tokens.fast import GigatokenTokenizer
from batchwright.tokens.partial import close_documents
from batchwright.tokens.shard import dtype_for, require_ids_below
from batchwright.tokens.tokenizer import ByteTokenizer

from .material import prepare, small_tokenizer, stored_bytes, texts, write_jsonl


def test_every_text_is_stored_once_in_the_order_it_was_read(tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "a.jsonl", texts())
    store = prepare(source, tmp_path / "store", small_tokenizer(), validation_fraction=0.0, shard_tokens=500)
    stored = [store.text_of("train", number) for number in range(store.document_count)]
    assert stored == list(dict.fromkeys(texts()))
    assert store.manifest.tally["dropped"]["duplicate"]["documents"] == 2
    assert len(store.split("train").shards) > 1


def test_a_target_always_has_its_input_before_it_and_documents_end_in_endoftext(tmp_path: Path) -> None:
    store = prepare(write_jsonl(tmp_path / "a.jsonl", texts()), tmp_path / "store")
    for split in store.splits.values():
        firsts, stops = split.spans()
        for first, stop in zip(firsts.tolist(), stops.tolist(), strict=True):
            assert split.tokens(first - 1, first)[0] == store.eot_id
            assert split.tokens(stop - 1, stop)[0] == store.eot_id
        assert np.array_equal(split.lengths(), stops - firsts)
        assert np.array_equal(np.concatenate(list(split.length_blocks(7))), split.lengths())
        assert int(split.lengths().sum()) == split.token_count == split.address_count - len(split.shards)


def test_the_validation_split_shares_no_text_with_training_and_has_about_its_share(tmp_path: Path) -> None:
    many = [f"text number {n}" for n in range(2000)] * 2
    store = prepare(write_jsonl(tmp_path / "a.jsonl", many), tmp_path / "store", validation_fraction=0.1)
    held_out = {store.text_of("validation", n) for n in range(store.split("validation").document_count)}
    trained = {store.text_of("train", n) for n in range(store.split("train").document_count)}
    assert not held_out & trained
    assert held_out | trained == set(many)
    assert 150 < len(held_out) < 250


def test_another_seed_holds_out_other_documents(tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "a.jsonl", texts())
    one, two = (prepare(source, tmp_path / f"store{seed}", seed=seed) for seed in (1, 2))
    assert one.fingerprint != two.fingerprint
    assert one.document_count == two.document_count


def test_the_origin_of_a_document_leads_back_to_its_line(tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "a.jsonl", texts())
    store = prepare(source, tmp_path / "store", validation_fraction=0.0)
    origin = store.provenance("train", 20)
    line = source.read_bytes()[origin.offset :].split(b"\n")[0].decode()
    assert store.text_of("train", 20) in line
    assert (origin.path, origin.source, origin.copy) == ("a.jsonl", "tests", 0)


def test_a_finished_job_changes_nothing_and_says_so(tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "a.jsonl", texts())
    prepare(source, tmp_path / "store")
    before = {path: path.stat().st_mtime_ns for path in sorted((tmp_path / "store").rglob("*"))}
    phases: list[Progress] = []
    prepare(source, tmp_path / "store", progress=phases.append)
    assert phases[-1].phase == "found finished"
    assert {path: path.stat().st_mtime_ns for path in sorted((tmp_path / "store").rglob("*"))} == before


def test_a_moved_corpus_gives_the_same_store(tmp_path: Path) -> None:
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
        prepare(write_jsonl(tmp_path / place / "a.jsonl", texts()), tmp_path / f"store-{place}")
    assert stored_bytes(tmp_path / "store-here") == stored_bytes(tmp_path / "store-there")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"seed": 3}, "seed: 0 → 3"),
        ({"shard_tokens": 99}, "shard_tokens: 1500 → 99"),
        ({"tokenizer": small_tokenizer()}, "tokenizer: 257 ids"),
    ],
)
def test_a_changed_job_is_refused_and_says_what_changed(tmp_path: Path, settings, said: str) -> None:  # type: ignore[no-untyped-def]
    source = write_jsonl(tmp_path / "a.jsonl", texts())
    prepare(source, tmp_path / "store")
    before = stored_bytes(tmp_path / "store")
    with pytest.raises(InputError, match="not overwritten") as caught:
        prepare(source, tmp_path / "store", **settings)
    assert said in caught.value.what
    assert stored_bytes(tmp_path / "store") == before


def test_changed_input_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "text").mkdir()
    source = write_jsonl(tmp_path / "text" / "a.jsonl", texts())
    prepare(tmp_path / "text", tmp_path / "store")
    write_jsonl(source, texts()[1:])
    write_jsonl(tmp_path / "text" / "b.jsonl", ["new"])
    with pytest.raises(InputError, match=r"1 input files added \(first: b\.jsonl\); 1 input files changed"):
        prepare(tmp_path / "text", tmp_path / "store")


def test_an_input_written_to_meanwhile_stops_the_job(tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "a.jsonl", texts())

    def write_more(progress: Progress) -> None:
        if progress.phase == "tokenizing":
            write_jsonl(source, [*texts(), "one more"])

    with pytest.raises(InputError, match="changed while it was being prepared"):
        prepare(source, tmp_path / "store", progress=write_more)
    assert not (tmp_path / "store" / "manifest.json").exists()


def test_a_file_that_may_not_be_read_is_counted_and_the_rest_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "text").mkdir()
    for name in ("a", "b", "c"):
        write_jsonl(tmp_path / "text" / f"{name}.jsonl", [f"text of {name}"])

    def refusing(path: Path) -> tuple[int, str]:
        if path.name == "b.jsonl":
            raise PermissionError(13, "Permission denied", str(path))
        return hash_file(path)

    monkeypatch.setattr("batchwright.tokens.job.hash_file", refusing)
    with pytest.raises(InputError, match="permission denied"):
        prepare(tmp_path / "text", tmp_path / "strict")
    store = prepare(tmp_path / "text", tmp_path / "store", errors="skip")
    assert store.manifest.tally["dropped"] == {"unreadable": {"documents": 1, "bytes": 0}}
    assert store.manifest.tally["read"]["documents"] == 3
    assert prepare(tmp_path / "text", tmp_path / "store", errors="skip").fingerprint == store.fingerprint
    monkeypatch.undo()
    with pytest.raises(InputError, match="1 input files changed"):
        prepare(tmp_path / "text", tmp_path / "store", errors="skip")


def test_a_worker_that_sees_other_files_is_refused_even_where_unreadable_ones_are_skipped(tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "a.jsonl", texts())

    class Elsewhere(SerialExecutor):
        def run(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Manifest]]:
            for task in tasks:
                moved = {number: f"{place}.missing" for number, place in task.context["locations"].items()}
                yield from super().run([replace(task, context={**task.context, "locations": moved})])

    with pytest.raises(InputError, match="does not see an input file"):
        prepare(source, tmp_path / "store", executor=Elsewhere(), errors="skip")


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "a.jsonl", texts())
    with WriterLock(tmp_path / "store"), pytest.raises(LockedError, match="already writing"):
        prepare(source, tmp_path / "store")
    prepare(source, tmp_path / "store")


def unfinished(tmp_path: Path, **settings: Any) -> tuple[Path, Path]:
    """(source, a store whose job stopped after everything was tokenized)."""
    source = write_jsonl(tmp_path / "a.jsonl", texts())

    def stop(progress: Progress) -> None:
        if progress.phase == "selecting":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(source, tmp_path / "store", progress=stop, **settings)
    return source, tmp_path / "store"


def test_a_record_of_finished_work_that_was_damaged_is_refused_and_not_believed(tmp_path: Path) -> None:
    source, store = unfinished(tmp_path)
    record = next((store / ".work").glob("*.done.json"))
    whole = record.read_bytes()
    for at in range(0, len(whole), 7):
        record.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(CorruptDataError) as caught:
            prepare(source, store)
        assert caught.value.where == str(record)
    record.write_bytes(whole)
    assert prepare(source, store).fingerprint == prepare(source, tmp_path / "whole").fingerprint


def test_going_on_does_not_vouch_for_a_vocabulary_that_was_damaged_meanwhile(tmp_path: Path) -> None:
    source, store = unfinished(tmp_path)
    (store / "tokenizer.json").write_bytes(b"{")
    assert prepare(source, store).fingerprint == prepare(source, tmp_path / "whole").fingerprint


def test_an_unfinished_job_does_not_go_on_under_versions_that_decide_other_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, store = unfinished(tmp_path, steps=(*DEFAULT_STEPS, RepairMojibake()))
    installed, steps = version("ftfy"), {"steps": (*DEFAULT_STEPS, RepairMojibake())}
    tasks = {path.name for path in (store / ".work").glob("*.done.json")}
    monkeypatch.setattr(unicodedata, "unidata_version", "99.0.0")
    with pytest.raises(InputError, match=r"unicode \S+ → 99\.0\.0"):
        prepare(source, store, **steps)
    monkeypatch.undo()
    monkeypatch.setattr(deciding_versions, "version", lambda name: "0.1")
    with pytest.raises(InputError, match=rf"ftfy {installed} → 0\.1"):
        prepare(source, store, **steps)
    monkeypatch.undo()
    job = store / ".work" / "job.json"
    job.write_text(job.read_text().replace(f',\n    "ftfy": "{installed}"', "").replace(f'"ftfy": "{installed}",', ""))
    assert '"ftfy"' not in job.read_text()  # as if it had not been installed
    kept: set[str] = set()

    def look(progress: Progress) -> None:
        if progress.phase == "selecting":
            kept.update(path.name for path in (store / ".work").glob("*.done.json"))

    finished = prepare(source, store, progress=look, **steps)
    assert tasks <= kept, "nothing was done again"
    versions = json.loads((store / "provenance.json").read_text())["versions"]
    assert (versions["ftfy"], versions["unicode"]) == (installed, unicodedata.unidata_version)
    monkeypatch.setattr(unicodedata, "unidata_version", "99.0.0")
    assert prepare(source, store, **steps).fingerprint == finished.fingerprint, "a finished store stays finished"


def test_a_worker_with_other_tables_is_refused_and_ftfy_is_only_asked_about_where_it_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, store = unfinished(tmp_path)
    assert '"ftfy"' not in (store / ".work" / "job.json").read_text()

    class Elsewhere(SerialExecutor):
        def run(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Manifest]]:
            for task in tasks:
                yield from super().run([replace(task, context={**task.context, "versions": {"unicode": "9.0.0"}})])

    with pytest.raises(InputError, match=r"unicode 9\.0\.0 → "):
        prepare(source, tmp_path / "other", executor=Elsewhere())


def test_a_damaged_list_of_inputs_is_named(tmp_path: Path) -> None:
    source, store = unfinished(tmp_path)
    listing = (store / "inputs.jsonl").read_bytes()
    for damaged in (listing[:-9], b"[]\n", b"\xff\n"):
        (store / "inputs.jsonl").write_bytes(damaged)
        with pytest.raises(CorruptDataError, match=r"inputs\.jsonl"):
            prepare(source, store)


def test_a_directory_with_other_things_is_left_alone(tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "a.jsonl", texts())
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match=r"thesis\.tex"):
        prepare(source, tmp_path / "store")
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["thesis.tex"]


def test_a_store_inside_its_own_source_is_refused(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", texts())
    (tmp_path / "store").mkdir()
    write_jsonl(tmp_path / "store" / "b.jsonl", texts())
    with pytest.raises(InputError, match="inside its own source"):
        prepare(tmp_path, tmp_path / "store")


def test_nothing_but_empty_documents_is_an_error_with_the_reasons(tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "a.jsonl", ["", "  ", "\n"])
    with pytest.raises(InputError, match="3 read, dropped: 3 empty"):
        prepare(source, tmp_path / "store")


@pytest.mark.parametrize(
    "settings", [{"validation_fraction": 1.0}, {"validation_fraction": -0.1}, {"shard_tokens": 0}, {"errors": "ignore"}]
)
def test_impossible_settings_are_refused_before_anything_is_written(tmp_path: Path, settings) -> None:  # type: ignore[no-untyped-def]
    source = write_jsonl(tmp_path / "a.jsonl", texts())
    with pytest.raises(InputError):
        prepare(source, tmp_path / "store", **settings)
    assert not (tmp_path / "store").exists()


def test_two_sources_keep_their_order_and_licences(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "z.jsonl", ["first", "shared"])
    write_jsonl(tmp_path / "a.jsonl", ["shared", "second"])
    sources = [
        TextSource(name="one", paths=(str(tmp_path / "z.jsonl"),), licence="CC0"),
        TextSource(name="two", paths=(str(tmp_path / "a.jsonl"),)),
    ]
    store = prepare_store(sources, tmp_path / "store", tokenizer=ByteTokenizer(), executor=SerialExecutor())
    assert [store.text_of("train", number) for number in range(3)] == ["first", "shared", "second"]
    assert [source["licence"] for source in store.manifest.sources] == ["CC0", "unknown"]
    assert store.provenance("train", 1).source == "one"


@pytest.mark.skipif(importlib.util.find_spec("gigatoken") is None, reason="gigatoken has no wheel for this platform")
def test_an_engine_that_goes_wrong_while_writing_stops_the_job_and_names_the_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_jsonl(tmp_path / "a.jsonl", texts())
    tokenizer = small_tokenizer("gigatoken")
    assert prepare(source, tmp_path / "sound", tokenizer).token_count
    honest = GigatokenTokenizer.encode_batch

    def broken(self, texts):  # type: ignore[no-untyped-def]
        ids, offsets = honest(self, texts)
        ids = ids.copy()
        ids[offsets[1]] = 0
        return ids, offsets

    monkeypatch.setattr(GigatokenTokenizer, "encode_batch", broken)
    with pytest.raises(InputError, match="differ on a document") as caught:
        prepare(source, tmp_path / "store", tokenizer)
    assert f"a.jsonl, offset {len(source.read_bytes().splitlines()[0]) + 1}" in str(caught.value)


def test_ids_never_wrap_around() -> None:
    assert dtype_for(65_536).str == "<u2"
    assert dtype_for(65_537).str == "<u4"
    with pytest.raises(AssertionError):
        require_ids_below(65_536, np.array([65_536], np.uint32))


def test_documents_are_closed_one_by_one_empty_ones_too() -> None:
    closed, ends = close_documents(np.array([1, 2, 3], np.uint32), np.array([0, 2, 2, 3]), 9, np.dtype("<u2"))
    assert closed.dtype.str == "<u2"
    assert closed.tolist() == [1, 2, 9, 9, 3, 9]
    assert ends.tolist() == [3, 4, 6]
