"""Tokenizers: exact, equal over engines, and refused when they could lose text."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import tokenizers

from batchwright.foundation.errors import InputError
from batchwright.tokens.fast import CACHE_BYTES, GigatokenTokenizer
from batchwright.tokens.probe import nasty_strings, prove
from batchwright.tokens.reference import JsonTokenizer
from batchwright.tokens.tokenizer import ByteTokenizer, from_file, open_tokenizer
from batchwright.tokens.vocabulary import Vocabulary

from .material import MARKERS, small_tokenizer, small_vocabulary, texts

needs_gigatoken = pytest.mark.skipif(
    importlib.util.find_spec("gigatoken") is None, reason="gigatoken has no wheel for this platform"
)


def test_bytes_are_their_own_ids_and_the_document_end_is_256() -> None:
    ids, offsets = ByteTokenizer().encode_batch(["é", b"ab", ""])
    assert ids.tolist() == [0xC3, 0xA9, 97, 98]
    assert offsets.tolist() == [0, 2, 4, 4]
    assert ByteTokenizer().decode([*ids, 256]) == "éab<|endoftext|>"


def test_the_bytes_vocabulary_is_saved_as_a_tokenizer_json_that_tokenizers_reads(tmp_path: Path) -> None:
    ByteTokenizer().save(tmp_path / "tokenizer.json")
    reopened = open_tokenizer(tmp_path / "tokenizer.json")
    other = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert isinstance(reopened, ByteTokenizer)
    assert other.encode("héllo wörld").ids == list("héllo wörld".encode())


def test_encoding_then_decoding_gives_the_text_back() -> None:
    tokenizer = small_tokenizer()
    kept = [text for text in nasty_strings() if text]
    ids, offsets = tokenizer.encode_batch(kept)
    for number, text in enumerate(kept):
        assert tokenizer.decode(ids[offsets[number] : offsets[number + 1]]) == text
    assert b"".join(tokenizer.token_bytes(int(one)) for one in ids) == "".join(kept).encode()


@needs_gigatoken
def test_both_engines_make_the_same_ids() -> None:
    fast, slow = small_tokenizer("gigatoken"), small_tokenizer()
    assert fast.hash == slow.hash
    for found, wanted in zip(fast.encode_batch(texts()), slow.encode_batch(texts()), strict=True):
        assert np.array_equal(found, wanted)


@needs_gigatoken
def test_a_fresh_engine_makes_the_same_ids_as_the_one_whose_cache_was_too_large(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tokenizer = GigatokenTokenizer(Vocabulary.parse(small_vocabulary(), where="the tests"))
    before, _ = tokenizer.encode_batch(texts())
    engine = tokenizer._fast()
    monkeypatch.setattr("batchwright.tokens.fast.RENEWED_AFTER_BYTES", 1)
    monkeypatch.setattr(tokenizer, "_grown_bytes", lambda: CACHE_BYTES + 1)
    after, _ = tokenizer.encode_batch(texts())
    assert tokenizer._fast() is not engine
    assert np.array_equal(before, after)


@needs_gigatoken
def test_what_is_proven_is_known_for_as_long_as_somebody_holds_it() -> None:
    tokenizer = from_file(small_vocabulary(), "gigatoken", where="here")
    assert GigatokenTokenizer.known(tokenizer.hash, tokenizer.engine) is tokenizer
    assert GigatokenTokenizer.known(tokenizer.hash, "gigatoken 0") is None
    hash, engine = tokenizer.hash, tokenizer.engine
    del tokenizer
    assert GigatokenTokenizer.known(hash, engine) is None


@needs_gigatoken
def test_an_engine_at_rest_encodes_again_when_it_is_asked() -> None:
    tokenizer = GigatokenTokenizer(Vocabulary.parse(small_vocabulary(), where="the tests"))
    before, _ = tokenizer.encode_batch(texts())
    tokenizer.rest()
    assert tokenizer._loaded is None
    after, _ = tokenizer.encode_batch(texts())
    assert np.array_equal(before, after)


def test_the_probe_finds_an_engine_that_differs_on_one_string() -> None:
    reference = JsonTokenizer(Vocabulary.parse(small_vocabulary(), where="the tests"))

    class Broken:
        def encode_batch(self, texts):  # type: ignore[no-untyped-def]
            return reference.encode_batch([b"\n\n" if text == "\n\n\n" else text for text in texts])

    assert prove(reference, reference).difference is None
    assert prove(Broken(), reference).difference == "\n\n\n"


@needs_gigatoken
def test_an_engine_that_fails_its_probe_is_refused_by_name_and_replaced_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    honest = GigatokenTokenizer.encode_batch

    def broken(self, texts):  # type: ignore[no-untyped-def]
        ids, offsets = honest(self, texts)
        return ids[::-1].copy(), offsets

    monkeypatch.setattr(GigatokenTokenizer, "encode_batch", broken)
    with pytest.raises(InputError, match="differs from `tokenizers`"):
        from_file(small_vocabulary(), "gigatoken", where="here")
    assert from_file(small_vocabulary(), "auto", where="here").name == "tokenizers"


def test_a_vocabulary_without_a_document_end_gets_one_after_its_last_id(tmp_path: Path) -> None:
    body = json.loads(small_vocabulary())
    body["added_tokens"] = [{**body["added_tokens"][1], "id": 700}]
    tokenizer = from_file(json.dumps(body).encode(), "tokenizers", where="here")
    assert (tokenizer.eot_id, tokenizer.vocabulary_size) == (701, 702)
    tokenizer.save(tmp_path / "tokenizer.json")
    again = open_tokenizer(tmp_path / "tokenizer.json", "tokenizers")
    assert (again.eot_id, again.hash) == (701, tokenizer.hash)


def test_the_document_end_can_be_named_and_a_typo_gets_the_nearest_name() -> None:
    tokenizer = from_file(small_vocabulary(), "tokenizers", "</s>", where="here")
    assert tokenizer.eot_id == tokenizer.special_tokens["</s>"]
    with pytest.raises(InputError, match=r"no token '<\|im_ends\|>'") as caught:
        from_file(small_vocabulary(), "tokenizers", "<|im_ends|>", where="here")
    assert caught.value.remedy is not None
    assert "<|im_end|>" in caught.value.remedy


def test_added_tokens_of_white_space_are_text() -> None:
    body = json.loads(small_vocabulary())
    spaces = {**body["added_tokens"][0], "id": 900, "content": "     ", "special": False}
    body["added_tokens"].append(spaces)
    tokenizer = from_file(json.dumps(body).encode(), "tokenizers", where="here")
    assert 900 in tokenizer.encode_batch(["a     b"])[0]
    assert set(tokenizer.special_tokens) == set(MARKERS)


def test_encoder_and_merges_files_are_read_as_a_vocabulary(tmp_path: Path) -> None:
    model = json.loads(small_vocabulary())["model"]
    (tmp_path / "encoder.json").write_text(json.dumps(model["vocab"]))
    (tmp_path / "vocab.bpe").write_text("#version: 0.2\n" + "".join(" ".join(pair) + "\n" for pair in model["merges"]))
    joined = open_tokenizer(tmp_path, "tokenizers")
    assert np.array_equal(joined.encode_batch(texts())[0], small_tokenizer().encode_batch(texts())[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda body: body["model"]["vocab"].pop("Ġ"), "lacks 1 of the 256 bytes"),
        (lambda body: body["model"].update(vocab=[["a", 0.0]], type="Unigram"), "not a tokenizer.json"),
        (lambda body: body["model"].pop("vocab"), "not a tokenizer.json"),
        (lambda body: body["model"]["merges"].append(["</", "s>"]), "spell the special token"),
        (lambda body: body["model"]["vocab"].update(x=-1), "ids run from"),
    ],
)
def test_a_vocabulary_that_could_lose_or_forge_text_is_refused(change, message: str) -> None:  # type: ignore[no-untyped-def]
    body = json.loads(small_vocabulary())
    change(body)
    with pytest.raises(InputError, match=message) as caught:
        from_file(json.dumps(body).encode(), "tokenizers", where="here.json")
    assert "here.json" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"[]", b"nothing", b"\xff\xfe", b'{"model": 3}'])
def test_a_file_that_is_no_vocabulary_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(InputError, match=r"not a tokenizer\.json"):
        open_tokenizer(tmp_path / "tokenizer.json")


def test_a_missing_file_an_empty_folder_and_an_unknown_engine_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        open_tokenizer(tmp_path / "nothing.json")
    with pytest.raises(InputError, match="holds no tokenizer"):
        open_tokenizer(tmp_path)
    with pytest.raises(InputError, match="no engine 'fast'"):
        open_tokenizer("bytes", "fast")  # type: ignore[arg-type]
