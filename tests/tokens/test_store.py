"""A damaged, exchanged or foreign store is never read as if it were sound."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from batchwright.foundation.errors import CorruptDataError, InputError
from batchwright.foundation.fingerprint import fingerprint
from batchwright.tokens.store import TokenStore
from batchwright.tokens.verification import verify

from .material import prepare, stored_bytes, texts, write_jsonl


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("sound")
    return prepare(write_jsonl(place / "a.jsonl", texts()), place / "store", shard_tokens=700).directory


@pytest.fixture
def copy(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "store"))


def edit_manifest(directory: Path, change: Callable[[dict], object], *, sign: bool = True) -> None:  # type: ignore[type-arg]
    path = directory / "manifest.json"
    body = json.loads(path.read_text())
    change(body)
    if sign:
        body.pop("fingerprint")
        body["fingerprint"] = fingerprint(body)
    path.write_text(json.dumps(body))


def swap(directory: Path, one: str, two: str) -> None:
    first, second = directory / one, directory / two
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)


def flip(path: Path, offset: int) -> None:
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)


def test_a_sound_store_is_found_sound(sound: Path) -> None:
    report = verify(TokenStore.open(sound))
    assert report.sound
    assert report.documents == 58
    assert report.files == 2 + 3 * len(list(sound.glob("*.tokens")))


def test_a_file_cut_short_is_named_with_both_sizes(copy: Path) -> None:
    path = copy / "00001.tokens"
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(CorruptDataError, match=f"is {size - 10:,} bytes long, the manifest says {size:,}") as caught:
        TokenStore.open(copy)
    assert "00001.tokens" in str(caught.value)


def test_a_missing_file_is_named(copy: Path) -> None:
    (copy / "00000.documents").unlink()
    with pytest.raises(CorruptDataError, match="missing") as caught:
        TokenStore.open(copy)
    assert "00000.documents" in str(caught.value)


def test_two_shards_of_equal_size_that_were_swapped_are_found_at_opening(tmp_path: Path) -> None:
    # Two documents of the same length: every count of the two shards is the same, only the content differs.
    store = prepare(
        write_jsonl(tmp_path / "a.jsonl", ["a" * 50, "b" * 50]),
        tmp_path / "store",
        shard_tokens=51,
        validation_fraction=0.0,
    )
    swap(store.directory, "00000.tokens", "00001.tokens")
    with pytest.raises(CorruptDataError, match="not the one that the manifest lists"):
        TokenStore.open(store.directory)


@pytest.mark.parametrize("kind", ["tokens", "documents", "provenance"])
def test_any_flipped_bit_of_a_shard_is_found(copy: Path, kind: str) -> None:
    path = copy / f"00000.{kind}"
    sound = path.read_bytes()
    # Every byte of what is not padding, in steps that touch header, payload and checksums.
    for offset in [*range(0, 112, 3), 200, 4095, *range(4096, len(sound), max(1, len(sound) // 25)), len(sound) - 1]:
        flip(path, offset)
        try:
            report = verify(TokenStore.open(copy))
        except CorruptDataError as error:
            assert path.name in str(error)
        else:
            assert any(path.name in str(error) for error in report.damage), offset
        path.write_bytes(sound)


def test_a_flipped_bit_is_found_when_its_block_is_read_not_returned_as_text(copy: Path) -> None:
    flip(copy / "00000.tokens", 4096 + 20)
    with pytest.raises(CorruptDataError, match="do not match their checksum"):
        TokenStore.open(copy).ids_of("train", 0)


@pytest.mark.parametrize("name", ["tokenizer.json", "inputs.jsonl"])
def test_a_changed_side_file_is_not_used(copy: Path, name: str) -> None:
    flip(copy / name, 30)
    store = TokenStore.open(copy)
    with pytest.raises(CorruptDataError) as caught:
        store.text_of("train", 0) if name == "tokenizer.json" else store.provenance("train", 0)
    assert name in str(caught.value)
    assert not verify(store).sound


def test_every_byte_of_the_manifest_counts(copy: Path) -> None:
    path = copy / "manifest.json"
    sound = path.read_bytes()
    reference = stored_bytes(copy)
    for offset in range(0, len(sound), 7):
        flip(path, offset)
        try:
            TokenStore.open(copy)
        except CorruptDataError:
            pass
        else:
            raise AssertionError(
                f"a manifest with byte {offset} changed was opened: {sound[offset - 20 : offset + 20]}"
            )
    path.write_bytes(sound)
    assert stored_bytes(copy) == reference


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda body: body.update(version=2), "format version 2, this batchwright reads version 1"),
        (lambda body: body.update(format="parquet"), "not the manifest of a token store"),
        (lambda body: body["shards"][0].update(name="../../etc/passwd"), "not a name"),
        (lambda body: body["files"].update({"../x": {"bytes": 1, "sha256": ""}}), "not a name"),
        (lambda body: body["shards"][0].update(tokens=-5), "whole number"),
        (lambda body: body["shards"][0].update(tokens=1.5), "whole number"),
        (lambda body: body["shards"][0].update(documents=3), "counts contradict"),
        (lambda body: body.update(eot_id=70_000), "outside the vocabulary"),
        (lambda body: body.update(dtype="O"), "unknown dtype"),
        (lambda body: body.pop("shards"), "lacks something"),
        (lambda body: body.update(shards=[3]), "lacks something"),
        (lambda body: body.update(tokenizer=None), "are objects"),
        (lambda body: body["tokenizer"].pop("hash"), "neither hash nor eot_token"),
        (lambda body: body.update(sources=[]), "at least one source"),
        (lambda body: body["sources"][0].pop("name"), "each has a name"),
        (lambda body: body.update(tally=[]), "are objects"),
        (lambda body: body.update(eot_id="3"), "whole numbers"),
        (lambda body: body["files"].pop("inputs.jsonl"), "does not list inputs.jsonl"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused_even_when_signed(copy: Path, change, message: str) -> None:  # type: ignore[no-untyped-def]
    edit_manifest(copy, change)
    with pytest.raises(CorruptDataError, match=message) as caught:
        TokenStore.open(copy)
    assert "manifest.json" in str(caught.value)


def test_an_edited_manifest_is_refused(copy: Path) -> None:
    edit_manifest(copy, lambda body: body["recipe"].update(seed=9), sign=False)
    with pytest.raises(CorruptDataError, match="changed after it was written"):
        TokenStore.open(copy)


def test_a_directory_without_a_store_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no finished token store") as caught:
        TokenStore.open(tmp_path)
    assert "batchwright prepare" in str(caught.value)


def test_questions_about_what_is_not_there_are_answered_with_what_is(sound: Path) -> None:
    store = TokenStore.open(sound)
    with pytest.raises(InputError, match="no split 'vaildation'") as caught:
        store.split("vaildation")
    assert "validation" in str(caught.value.remedy)
    with pytest.raises(InputError, match="there is no document"):
        store.ids_of("train", 10**6)
    with pytest.raises(InputError, match="one shard"):
        split = store.split("train")
        split.tokens(0, split.address_count)
