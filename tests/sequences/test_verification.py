"""One damaged byte anywhere in an index is found, and named."""

import json
import shutil
from pathlib import Path

import pytest

from batchwright.foundation.errors import CorruptDataError
from batchwright.foundation.fingerprint import fingerprint
from batchwright.sequences.index import FILES, SequenceIndex
from batchwright.sequences.index_build import build_index
from batchwright.sequences.stored_tokens import StoredTokens
from batchwright.sequences.verification import index_directories, verify_indexes
from tests.sequences.small_store import SmallStore, write_store

LENGTHS = [5, 3, 9, 2, 20, 1, 7]


@pytest.fixture
def store(tmp_path: Path) -> SmallStore:
    return write_store(tmp_path, LENGTHS, shard_documents=4)


def test_sound_indexes_pass_and_unfinished_ones_are_left_alone(store: SmallStore) -> None:
    assert verify_indexes(store) == []
    made = {build_index(store, sequence_length=length).directory for length in (6, 16)}
    shutil.copytree(next(iter(made)), store.directory / "sequences" / "0123.building")
    assert set(index_directories(store)) == made
    assert verify_indexes(store) == []


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
def test_one_flipped_bit_anywhere_in_an_index_is_found(store: SmallStore, name: str) -> None:
    path = build_index(store, sequence_length=6).directory / name
    good = path.read_bytes()
    step = 1 if name == "manifest.json" else 37
    for byte in range(0, len(good), step):
        bad = bytearray(good)
        bad[byte] ^= 1 << (byte % 7)
        path.write_bytes(bad)
        if name == "manifest.json" and _same_json(good, bytes(bad)):
            continue  # a space that became another kind of white space
        (found,) = verify_indexes(store)
        assert isinstance(found, CorruptDataError), f"byte {byte}: {found}"
        assert found.remedy is not None
    path.write_bytes(good)
    assert verify_indexes(store) == []


def _same_json(one: bytes, other: bytes) -> bool:
    try:
        return json.loads(one) == json.loads(other)
    except ValueError:
        return False


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_damage_not_a_wish(store: SmallStore, name: str) -> None:
    index = build_index(store, sequence_length=6)
    (index.directory / name).unlink()
    with pytest.raises(CorruptDataError, match="missing"):
        SequenceIndex.open(index.directory, StoredTokens.of(store))


def test_a_manifest_sealed_anew_still_has_to_be_the_one_its_directory_is_named_for(store: SmallStore) -> None:
    manifest = build_index(store, sequence_length=6).directory / "manifest.json"
    value = json.loads(manifest.read_text())
    value["origin"]["seed"] = 1
    del value["seal"]
    manifest.write_text(json.dumps({**value, "seal": fingerprint(value)}))
    (found,) = verify_indexes(store)
    assert "was changed" in found.what
