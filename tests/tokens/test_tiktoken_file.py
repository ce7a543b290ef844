"""Files of ranks: their ids are those that joining the lowest rank makes, whatever the split pattern."""

import base64
import itertools
import json
import re
from pathlib import Path

import pytest

from batchwright.foundation.errors import InputError
from batchwright.tokens import tiktoken_file
from batchwright.tokens.probe import nasty_strings
from batchwright.tokens.tiktoken_file import Encoding, tokenizer_json
from batchwright.tokens.tokenizer import from_file, open_tokenizer
from batchwright.workflows.prepare import tokenizer_named

MORE = ["aa", "aaaa", "th", "he", " t", " the", "the", "\n\n", "  ", "é", "漢", "fox", "quick"]
RANKS = {bytes([byte]): byte for byte in range(256)} | {text.encode(): 256 + n for n, text in enumerate(MORE)}


def ranks_file(ranks: dict[bytes, int] = RANKS) -> bytes:
    return b"".join(base64.b64encode(token) + b" %d\n" % rank for token, rank in ranks.items())


def join_lowest(word: bytes) -> list[int]:
    """tiktoken's rule, written plainly: a word that is a token is that token, else the lowest neighbours are joined."""
    if word in RANKS:
        return [RANKS[word]]
    parts = [word[n : n + 1] for n in range(len(word))]
    while True:
        pairs = [(RANKS[left + right], n) for n, (left, right) in enumerate(itertools.pairwise(parts))
                 if left + right in RANKS]  # fmt: skip
        if not pairs:
            return [RANKS[part] for part in parts]
        place = min(pairs)[1]
        parts[place : place + 2] = [parts[place] + parts[place + 1]]


@pytest.mark.parametrize("engine", ["tokenizers", "auto"])
def test_the_ids_are_those_that_joining_the_lowest_rank_makes(engine: str) -> None:
    tokenizer = from_file(tokenizer_json(ranks_file(), "gpt2.tiktoken"), engine, where="here")  # type: ignore[arg-type]
    words = re.compile(r"'(?:[sdmt]|ll|ve|re)| ?[a-zA-Z]+| ?[0-9]+| ?[^\sa-zA-Z0-9]+|\s+(?!\S)|\s+")
    for text in ("the quick fox  and the\n\n\nother", "aaaaaaa aaaa aaa", "x" * 300, "hehehe the he", "don't 12"):
        ids, _ = tokenizer.encode_batch([text])
        assert ids.tolist() == [number for word in words.findall(text) for number in join_lowest(word.encode())]


def test_a_text_comes_back_under_every_split_pattern(tmp_path: Path) -> None:
    (tmp_path / "mine.tiktoken").write_bytes(ranks_file())
    for name in tiktoken_file.ENCODING_NAMES:
        tokenizer = open_tokenizer(f"{name}:{tmp_path / 'mine.tiktoken'}")
        for text in nasty_strings():
            assert tokenizer.decode(tokenizer.encode_batch([text])[0]) == text
        assert tokenizer.eot_id == len(RANKS)


def test_digits_are_cut_as_the_pattern_says() -> None:
    ranks = ranks_file(RANKS | {b"12": 900, b"123": 901, b"1234": 902})
    made = {name: from_file(tokenizer_json(ranks, "x", name), where="x") for name in ("gpt2", "cl100k", "o200k")}
    assert {name: one.encode_batch(["1234"])[0].tolist() for name, one in made.items()} == {
        "gpt2": [902],
        "cl100k": [901, ord("4")],
        "o200k": [901, ord("4")],
    }


def test_a_published_file_is_known_by_its_hash_and_keeps_its_special_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    import hashlib

    known = Encoding(
        pattern=tiktoken_file._CL100K,
        sha256=hashlib.sha256(ranks_file()).hexdigest(),
        special_tokens={"<|endoftext|>": 300, "<|fim_prefix|>": 301},
    )
    monkeypatch.setattr(tiktoken_file, "ENCODINGS", {**tiktoken_file.ENCODINGS, "known": known})
    tokenizer = from_file(tokenizer_json(ranks_file(), "no name that tells"), "tokenizers", where="x")
    assert tokenizer.special_tokens == {"<|endoftext|>": 300, "<|fim_prefix|>": 301}
    assert tokenizer.encode_batch(["<|endoftext|>"])[0].max() < 300
    # Other ranks under a known name: the pattern is taken, the published ids are not.
    other = json.loads(tokenizer_json(ranks_file(RANKS | {b"zz": 700}), "cl100k_mine"))
    assert not other["added_tokens"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"!!! 1\n", "line 1 is not base64"),
        (b"YQ==\n", "line 1 is not base64"),
        (ranks_file({b"a": 0}), "255 of the 256 bytes"),
        (ranks_file(RANKS | {b"zz": 3}), "two tokens have one rank"),
        (ranks_file(RANKS | {b"\n  ": 999}), "goes on after a newline"),
    ],
)
def test_a_file_that_would_lose_text_is_refused_and_named(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "cl100k.tiktoken"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        open_tokenizer(path)
    assert str(caught.value).count(str(path)) == 1


def test_a_file_that_does_not_tell_its_pattern_is_asked_for_it(tmp_path: Path) -> None:
    (tmp_path / "mine.tiktoken").write_bytes(ranks_file())
    with pytest.raises(InputError, match="does not say where words are cut") as caught:
        tokenizer_named(str(tmp_path / "mine.tiktoken"), [])
    assert "cl100k" in str(caught.value.remedy)
    with pytest.raises(InputError, match="no split pattern 'o300k'"):
        tokenizer_json(ranks_file(), "mine", "o300k")


def test_the_halves_of_surrogate_pairs_become_what_tiktoken_makes_of_them() -> None:
    for place in ("bytes", None):
        tokenizer = open_tokenizer("bytes") if place else from_file(tokenizer_json(ranks_file(), "r50k"), where="x")
        ids, _ = tokenizer.encode_batch(["a\ud800b", "\ud83d\ude42"])
        assert tokenizer.decode(ids) == "a\ufffdb🙂"
