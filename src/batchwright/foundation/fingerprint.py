"""Names made from content: equal content, equal name, on every machine.

`fingerprint` hashes JSON values in one canonical form (keys sorted, no spaces, UTF-8), so that it depends on neither
dictionary order nor Python version. Price: xxh3-128 runs at memory speed (~17 GiB per CPU-second); sha256, kept for
manifests where somebody may want to forge, at ~1.6.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import xxhash

from batchwright.foundation.units import MiB


def canonical_json(value: Any) -> bytes:
    """The one byte form of a JSON value. NaN and infinities are refused: they are not JSON."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def fingerprint(value: Any) -> str:
    """32 hexadecimal digits (xxh3-128) naming a JSON value."""
    return xxhash.xxh3_128_hexdigest(canonical_json(value))


def hash_file(path: Path) -> tuple[int, str]:
    """(size in bytes, xxh3-128 in hexadecimal) of a file's content."""
    state, size = xxhash.xxh3_128(), 0
    for block in _blocks(path):
        state.update(block)
        size += len(block)
    return size, state.hexdigest()


def sha256_file(path: Path) -> str:
    """sha256 of a file's content, in hexadecimal."""
    state = hashlib.sha256()
    for block in _blocks(path):
        state.update(block)
    return state.hexdigest()


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(MiB):
            yield block
