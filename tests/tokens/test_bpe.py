"""The trained vocabulary: whole, deterministic, and one that `tokenizers` and gigatoken agree on."""

import numpy as np
import pytest
import tokenizers

from batchwright.foundation.errors import InputError
from batchwright.tokens.bpe import spread, train_bpe
from batchwright.tokens.probe import nasty_strings
from batchwright.tokens.tokenizer import from_file

from .material import texts

TEXTS = [text.encode() for text in texts()] + [b"def f(x):\n    return x\n\n\ndef g(y):\n    return y\n"] * 20


def test_the_vocabulary_has_the_size_asked_for_and_all_256_bytes() -> None:
    tokenizer = from_file(train_bpe(TEXTS, 350), where="here")
    assert tokenizer.vocabulary_size == 350
    assert tokenizer.eot_id == 349
    assert {bytes([byte]) for byte in range(256)} <= {tokenizer.token_bytes(number) for number in range(349)}


def test_training_twice_gives_the_same_bytes() -> None:
    assert train_bpe(TEXTS, 350) == train_bpe(TEXTS, 350)


def test_merges_cross_lines_because_documents_are_taken_whole() -> None:
    tokenizer = from_file(train_bpe(TEXTS, 350), where="here")
    assert any(b"\n" in tokenizer.token_bytes(number)[:-1] for number in range(349))


def test_every_text_comes_back_from_a_trained_vocabulary() -> None:
    tokenizer = from_file(train_bpe(TEXTS, 300), where="here")
    ids, _ = tokenizer.encode_batch(list(nasty_strings()))
    assert tokenizer.decode(ids) == "".join(nasty_strings())


def test_the_text_of_the_document_end_trains_no_token_and_spells_none() -> None:
    content = train_bpe([b"<|endoftext|>" * 50, *TEXTS], 350)
    tokenizer = from_file(content, where="here")
    ids, _ = tokenizer.encode_batch(["<|endoftext|>"])
    assert tokenizer.eot_id not in ids


def test_tokenizers_opens_the_file_and_makes_the_same_ids() -> None:
    content = train_bpe(TEXTS, 350)
    ids, _ = from_file(content, where="here").encode_batch([TEXTS[1]])
    other = tokenizers.Tokenizer.from_str(content.decode())
    assert np.array_equal(ids, other.encode(TEXTS[1].decode()).ids)


def test_documents_taken_for_training_are_whole_and_spread_over_all_of_them() -> None:
    documents = [bytes([97 + n % 26]) * 1000 for n in range(100)]
    taken = list(spread(documents, 10_000))
    assert sum(map(len, taken)) == 10_000
    assert len({one[:1] for one in taken}) > 5
    assert list(spread(documents, 10**9)) == documents


def test_too_little_text_says_how_large_the_vocabulary_can_be() -> None:
    with pytest.raises(InputError, match="no more than"):
        train_bpe([b"abc"], 5000)
    with pytest.raises(InputError, match="it has 258 to"):
        train_bpe(TEXTS, 100)
