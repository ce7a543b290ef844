"""Law: what is exported to another format and imported again has the same ids and the same document ends, in the same
order, in the same splits."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchwright.adapters import exporting
from batchwright.adapters.exporting import Exchange, export_store
from batchwright.adapters.importing import import_store
from batchwright.tokens.store import StoreSplit, TokenStore
from batchwright.tokens.verification import verify
from tests.adapters.documents_of_ids import EOT, VOCABULARIES, Documents, documents, held, store_of


@pytest.fixture(autouse=True, scope="module")
def _without_syncing() -> Iterator[None]:
    """A law draws hundreds of stores; that they survive a power cut is not what it is about."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


FORMATS: tuple[Exchange, ...] = get_args(Exchange)


@st.composite
def splits(draw: st.DrawFn) -> tuple[int, Documents, Documents, int]:
    """(vocabulary size, training documents, held-out documents, tokens per shard)."""
    size = draw(st.sampled_from(VOCABULARIES))
    held_out = draw(st.one_of(st.just([]), documents(size)))
    return size, draw(documents(size)), held_out, draw(st.sampled_from([1, 50, 2**27]))


def there_and_back(form: Exchange, drawn: tuple[int, Documents, Documents, int]) -> tuple[TokenStore, TokenStore]:
    size, train, held_out, shard_tokens = drawn
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        store = store_of(home / "a", train, size, held_out, shard_tokens=shard_tokens)
        export_store(store, home / "out", to=form)
        back = import_store([str(home / "out")], home / "b", form=form, shard_tokens=shard_tokens)
        assert verify(back).sound
        for split, wanted in (("train", train), ("validation", held_out)):
            assert held(store, split) == held(back, split) == [[*document, EOT] for document in wanted]
            for one, other in zip(store.split(split).shards, back.split(split).shards, strict=True):
                assert np.array_equal(one.documents.array, other.documents.array)
                assert np.array_equal(one.provenance.array["id"], other.provenance.array["id"])
        assert (back.vocabulary_size, back.eot_id) == (size, EOT)
        return store, back


@pytest.mark.parametrize("form", FORMATS)
@given(drawn=splits())
@settings(max_examples=25)
def test_export_and_import_give_the_same_documents(
    form: Exchange, drawn: tuple[int, Documents, Documents, int]
) -> None:
    there_and_back(form, drawn)


def _forgets_an_end(store: TokenStore, split: StoreSplit, directory: Path) -> list[str]:
    """A broken twin of the writer of nanoGPT's form: it leaves out the <endoftext> of the first document."""
    ids = np.concatenate([shard.tokens.array[1:] for shard in split.shards])
    np.delete(ids, np.flatnonzero(ids == store.eot_id)[0]).tofile(directory / "train.bin")
    return ["train.bin"]


def test_a_writer_that_loses_a_document_end_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "_WRITERS", {**exporting._WRITERS, "nanogpt": _forgets_an_end})
    with pytest.raises(AssertionError):
        there_and_back("nanogpt", (60_000, [[1, 2], [3]], [], 2**27))
