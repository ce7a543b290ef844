"""Known truth: the ids of the (B, T) slide of Andrej Karpathy's talk *State of GPT*, with GPT-2's vocabulary.

The separators are ours. The same characters inside a document never become 50256; with the default of `tokenizers`,
the broken twin, they do.
"""

from pathlib import Path

import pytest
import tokenizers

from batchwright.tokens.store import TokenStore
from batchwright.tokens.tokenizer import open_tokenizer

from ..tokens.material import prepare, write_jsonl

FIRST_ROW = "Here is an example document 1 showing some tokens."
FIRST_IDS = [4342, 318, 281, 1672, 3188, 352, 4478, 617, 16326, 13]
DOCUMENTS = ["Example document 2", "Example document 3", "Example document"]
ROW = [16281, 3188, 362, 50256, 16281, 3188, 513, 50256, 16281, 3188]
END = 50256


@pytest.fixture(scope="module")
def store(gpt2_tokenizer_file: Path, tmp_path_factory: pytest.TempPathFactory) -> TokenStore:
    place = tmp_path_factory.mktemp("slide")
    texts = [*DOCUMENTS, FIRST_ROW, "forged<|endoftext|>boundary"]
    source = write_jsonl(place / "slide.jsonl", texts)
    return prepare(source, place / "store", open_tokenizer(gpt2_tokenizer_file), validation_fraction=0.0)


def test_the_slides_text_becomes_the_slides_ids(store: TokenStore) -> None:
    assert store.ids_of("train", 3).tolist() == [*FIRST_IDS, END]


def test_documents_laid_in_a_row_have_our_separators_between_them(store: TokenStore) -> None:
    first, _ = store.split("train").span(0)
    assert store.split("train").tokens(first, first + len(ROW)).tolist() == ROW


def test_the_inputs_of_that_row_are_the_same_ids_one_place_later_after_an_endoftext(store: TokenStore) -> None:
    first, _ = store.split("train").span(0)
    inputs = store.split("train").tokens(first - 1, first - 1 + len(ROW)).tolist()
    assert inputs == [END, *ROW[:-1]]


def test_the_same_characters_inside_a_document_are_text(store: TokenStore, gpt2_tokenizer_file: Path) -> None:
    ids = store.ids_of("train", 4).tolist()
    assert ids.index(END) == len(ids) - 1
    assert store.text_of("train", 4) == "forged<|endoftext|>boundary"
    broken = tokenizers.Tokenizer.from_file(str(gpt2_tokenizer_file))
    assert END in broken.encode("forged<|endoftext|>boundary").ids


def test_sixteen_bits_hold_gpt2s_ids(store: TokenStore) -> None:
    assert store.manifest.dtype == "<u2"
    assert (store.vocabulary_size, store.eot_id) == (50257, END)
