"""What the tests of exchange formats share: documents as lists of ids, a store of them, and what a store holds."""

from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from batchwright.adapters.importing import import_store
from batchwright.tokens.store import TokenStore

EOT = 9
VOCABULARIES = (60_000, 70_000)
"""One whose ids fit uint16, one whose ids do not."""

Documents = list[list[int]]


def documents(vocabulary_size: int) -> st.SearchStrategy[Documents]:
    """Some documents without <endoftext>, none empty; the lowest and highest ids occur often."""
    edges = st.sampled_from([0, 1, EOT + 1, vocabulary_size - 2, vocabulary_size - 1])
    ids = st.one_of(edges, st.integers(0, vocabulary_size - 1)).filter(lambda number: number != EOT)
    return st.lists(st.lists(ids, min_size=1, max_size=40), min_size=1, max_size=30)


def write_ids(path: Path, given: Documents, vocabulary_size: int) -> Path:
    """nanoGPT's form, written by numpy alone."""
    flat = [number for document in given for number in (*document, EOT)]
    np.array(flat, "<u2" if vocabulary_size <= 65536 else "<u4").tofile(path)
    return path


def store_of(
    home: Path, given: Documents, vocabulary_size: int = 60_000, validation: Documents | None = None, **settings: Any
) -> TokenStore:
    """A store of these documents; its `.bin` files lie beside it."""
    home.mkdir(parents=True, exist_ok=True)
    places = [str(write_ids(home / "given.bin", given, vocabulary_size))]
    held_out = [str(write_ids(home / "held-out.bin", validation, vocabulary_size))] if validation else []
    return import_store(
        places,
        home / "store",
        form="nanogpt",
        validation=held_out,
        vocabulary_size=vocabulary_size,
        eot_id=EOT,
        **settings,
    )


def held(store: TokenStore, split: str = "train") -> Documents:
    """Every document of a split, closing <endoftext> included."""
    return [store.ids_of(split, number).tolist() for number in range(store.split(split).document_count)]


def masks_held(store: TokenStore) -> Documents:
    """The loss mask of every training document."""
    out: Documents = []
    for shard in store.split("train").shards:
        assert shard.mask is not None
        for document in range(shard.document_count):
            first, stop = shard.span(document)
            out.append(shard.mask.array[first:stop].tolist())
    return out
