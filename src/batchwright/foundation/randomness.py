"""Randomness has a name. A key is the hash of (seed, purpose, names …), never a sum, and nothing here has a state.

Guarantee: two different tuples of names give different keys (64-bit hash of an unambiguous encoding); adding one to a
seed is as different as any other change, so epoch 1 of seed 0 is not epoch 0 of seed 1.
"""

import numpy as np
import xxhash

from batchwright.foundation.fingerprint import canonical_json


def key(seed: int, purpose: str, *names: str | int) -> int:
    """The 64-bit key of a named random stream, e.g. `key(7, "row-order", "books", epoch)`."""
    return xxhash.xxh3_64_intdigest(canonical_json(["batchwright", seed, purpose, *names]))


def generator(seed: int, purpose: str, *names: str | int) -> np.random.Generator:
    """A fresh generator of the named stream (Philox: counter-based, the same on every platform)."""
    return np.random.Generator(np.random.Philox(key=key(seed, purpose, *names)))
