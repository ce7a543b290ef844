"""A document is found by everything that names it, and what is not found is answered with what is near."""

import re
import shutil
from pathlib import Path

import pytest

from batchwright.documents.inputs import TextSource
from batchwright.engines.serial import SerialExecutor
from batchwright.foundation.array_file import HEADER_BYTES
from batchwright.foundation.errors import CorruptDataError, InputError
from batchwright.tokens.build import prepare_store
from batchwright.tokens.finding import documents_of_file, documents_with_id, find_document
from batchwright.tokens.store import TokenStore
from batchwright.tokens.tokenizer import ByteTokenizer

from .material import texts, write_jsonl


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> TokenStore:
    """Two sources; both have a file notes.txt, one has lines, one file was dropped whole."""
    home = tmp_path_factory.mktemp("finding")
    for source, names in (("books", ("a/notes.txt", "b@7.txt", "z.txt")), ("web", ("c/notes.txt", "empty.txt"))):
        for name in names:
            path = home / source / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("" if "empty" in name else f"{source} {name} " * 9, encoding="utf-8")
    write_jsonl(home / "web" / "lines.jsonl", texts())
    return prepare_store(
        [TextSource(name=source, paths=(str(home / source),)) for source in ("books", "web")],
        home / "store",
        tokenizer=ByteTokenizer(),
        executor=SerialExecutor(),
        validation_fraction=0.2,
        shard_tokens=700,
    )


def split_with(store: TokenStore, path: str) -> str:
    """The split that the only document of a file went to."""
    for split in store.splits:
        for document in range(store.split(split).document_count):
            if store.provenance(split, document).path.endswith(path):
                return split
    raise AssertionError(path)


def test_every_document_is_found_by_its_id_its_number_and_its_place(store: TokenStore) -> None:
    assert len(store.split("train").shards) > 2
    for split in store.splits:
        for document in range(store.split(split).document_count):
            origin = store.provenance(split, document)
            assert find_document(store, split, origin.id) == document
            assert find_document(store, split, origin.id.upper()) == document
            assert find_document(store, split, f"{document:,}") == document
            if origin.path.endswith(".jsonl"):
                assert find_document(store, split, f"{origin.path}@{origin.offset}") == document
                assert find_document(store, split, f"{origin.path}@{origin.offset + 3}") == document
            else:
                assert find_document(store, split, origin.path) == document
                assert find_document(store, split, f"/somewhere/else/{origin.path}") == document


def test_the_documents_of_a_file_are_counted_exactly(store: TokenStore) -> None:
    for split in store.splits:
        view = store.split(split)
        paths = [store.provenance(split, d).path for d in range(view.document_count)]
        for file, place in enumerate(store.inputs):
            held = documents_of_file(store, view, file)
            assert paths[held.first : held.stop].count(place["path"]) == held.stop - held.first
            if place["path"].endswith(".jsonl"):
                assert held.stop - held.first == paths.count(place["path"]) > 1


def test_a_path_alone_means_the_first_document_of_its_file(store: TokenStore) -> None:
    found = find_document(store, "train", "lines.jsonl")
    assert store.provenance("train", found).path.endswith("lines.jsonl")
    assert found == 0 or not store.provenance("train", found - 1).path.endswith("lines.jsonl")


def test_a_name_with_an_at_sign_is_a_name_first(store: TokenStore) -> None:
    split = split_with(store, "b@7.txt")
    assert store.provenance(split, find_document(store, split, "b@7.txt")).path.endswith("b@7.txt")


def test_an_id_of_the_other_split_says_so(store: TokenStore) -> None:
    origin = store.provenance("validation", 0)
    with pytest.raises(InputError, match="no document of the train split") as caught:
        find_document(store, "train", origin.id)
    assert caught.value.remedy == "--split validation"
    assert documents_with_id(store.split("train"), origin.id) == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("0" * 32, "has the id 0000"),
        ("1000000", "there is no document 1,000,000"),
        ("notes.txt", "2 files are named"),
        ("zz.txt", "did you mean"),
        ("empty.txt", "no document of .*empty.txt is in the train split"),
        ("a/notes.tx", "no document is named"),
        ("@5", "no document is named"),
    ],
)
def test_what_is_not_there_is_refused_with_what_is_near(store: TokenStore, name: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        find_document(store, "train", name)
    assert re.search(words, str(caught.value)), str(caught.value)


def test_damaged_provenance_is_an_error_and_not_another_document(store: TokenStore, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(store.directory, tmp_path / "store"))
    path = copy / f"{store.split('train').shards[0].name}.provenance"
    content = bytearray(path.read_bytes())
    content[HEADER_BYTES] ^= 1
    path.write_bytes(content)
    origin = store.provenance("train", 0)
    with pytest.raises(CorruptDataError, match="the provenance in bytes"):
        find_document(TokenStore.open(copy), "train", origin.id)
