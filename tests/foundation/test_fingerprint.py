import hashlib
from pathlib import Path

import pytest
import xxhash

from batchwright.foundation.fingerprint import canonical_json, fingerprint, hash_file, sha256_file


def test_a_fingerprint_does_not_depend_on_the_order_of_keys():
    assert fingerprint({"a": 1, "b": [1, 2]}) == fingerprint({"b": [1, 2], "a": 1})
    assert fingerprint({"a": [1, 2]}) != fingerprint({"a": [2, 1]})


def test_canonical_json_is_utf8_without_spaces_and_refuses_nan():
    assert canonical_json({"b": "漢", "a": 1}) == '{"a":1,"b":"漢"}'.encode()
    with pytest.raises(ValueError, match="JSON"):
        canonical_json(float("nan"))


def test_files_are_hashed_whole(tmp_path: Path):
    content = b"x" * (3 * 2**20 + 17)
    (tmp_path / "file").write_bytes(content)
    assert hash_file(tmp_path / "file") == (len(content), xxhash.xxh3_128_hexdigest(content))
    assert sha256_file(tmp_path / "file") == hashlib.sha256(content).hexdigest()
