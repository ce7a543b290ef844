"""The compiled pass over bytes against the definition in plain Python."""

import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchwright.documents import signatures
from batchwright.documents.filters.character_classes import UNSPACED, character_classes
from batchwright.documents.near_duplicates import NearDuplicates
from batchwright.documents.signatures import ALONE, NOTHING, orders, signatures_of

MASK = 2**64 - 1
SMALL = NearDuplicates(bands=3, rows=2, shingle_words=2, shingle_characters=3)


def words_of(text: str) -> list[tuple[int, ...]]:
    """The words as their lower-case characters; one that stands alone carries ALONE."""
    found: list[tuple[int, ...]] = []
    current: list[int] = []
    for character in [*text, " "]:
        lower = character.lower() if len(character.lower()) == 1 else character
        alone = bool(character_classes()[ord(character)] & UNSPACED)
        if alone or unicodedata.category(character)[0] not in "LMN":
            found += [tuple(current)] if current else []
            current = []
            found += [(ord(lower) | ALONE,)] if alone else []
        else:
            current.append(ord(lower))
    return found


def number_of(word: tuple[int, ...]) -> int:
    if word[0] >= ALONE:
        return word[0]
    value = 0
    for code in word:
        value = (value + code) * 0x100000001B3 & MASK
        value ^= value >> 29
    return value


def shingles_of(text: str, near: NearDuplicates) -> list[list[tuple[int, ...]]]:
    words = words_of(text)
    found = []
    for last, word in enumerate(words):
        length = near.shingle_characters if word[0] >= ALONE else near.shingle_words
        if last + 1 >= length:
            found.append(words[last + 1 - length : last + 1])
    return found or ([words] if words else [])


def signature_of(text: str, near: NearDuplicates) -> list[int]:
    """The definition, word by word."""
    factors, terms = (values.tolist() for values in orders(near))
    least = [NOTHING] * near.permutations
    for shingle in shingles_of(text, near):
        value = 0
        for word in shingle:
            value = (value * signatures.BASE + number_of(word)) & MASK
        mixed = (value ^ value >> 32) * 0xD6E8FEB86659FD93 & MASK
        x = (mixed ^ mixed >> 32) >> 32
        least = [min(old, (x * a + b) & 0xFFFFFFFF) for old, a, b in zip(least, factors, terms, strict=True)]
    return least


text = st.lists(
    st.sampled_from(
        ["the ", "Cat", "SAT ", "_", "é", "e\u0301", "ß", "İ", "漢字", "かな", "ไทย", "42", "٣", "🙂", "\n", "…"]
    ),
    max_size=30,
).map("".join)


@settings(max_examples=60)
@given(st.lists(text | st.text(max_size=8), min_size=1, max_size=4))
def test_the_pass_over_bytes_is_the_definition(texts: list[str]) -> None:
    found = signatures_of([text.encode("utf-8", "replace") for text in texts], SMALL)
    texts = [text.encode("utf-8", "replace").decode() for text in texts]
    assert found.tolist() == [signature_of(text, SMALL) for text in texts]


def test_a_long_text_has_the_signature_of_the_definition() -> None:
    near = NearDuplicates()
    texts = [" ".join(f"word{n % 83}" for n in range(300)), "漢字かな" * 40 + " end"]
    assert signatures_of([text.encode() for text in texts], near).tolist() == [signature_of(t, near) for t in texts]


def test_case_punctuation_and_blanks_do_not_matter_words_and_digits_do() -> None:
    one, same, other, none = signatures_of(
        [b"The cat, it sat on: the mat!", b"the CAT it_sat\n\non the... mat", b"the cat it sat on the mat 7", b" _!\n"],
        NearDuplicates(),
    )
    assert (one == same).all()
    assert (one != other).any()
    assert (none == NOTHING).all()
    assert (signatures_of([], NearDuplicates())).shape == (0, 112)


def test_a_pass_that_forgets_to_end_a_text_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = signatures._sign

    def broken(text: np.ndarray, ends: np.ndarray, *rest: object) -> None:
        honest(text, ends + 1, *rest)

    monkeypatch.setattr(signatures, "_sign", broken)
    texts = ["a b c d", "b c d e f"]
    assert signatures_of([t.encode() for t in texts], SMALL).tolist() != [signature_of(t, SMALL) for t in texts]
