"""Texts of young characters are told apart, and the reference encodes them."""

import importlib.util
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from batchwright.foundation.compiled import plain
from batchwright.tokens import settled
from batchwright.tokens.fast import GigatokenTokenizer
from batchwright.tokens.settled import is_settled, settled_code_points
from batchwright.tokens.vocabulary import Vocabulary

from .material import small_vocabulary

YOUNG = "\u1c89", "\U0001fae9", "\U00011de0"  # Unicode 16, 16 and 17


def test_the_table_is_of_unicode_14() -> None:
    table = settled_code_points()
    if unicodedata.unidata_version == "14.0.0":
        assert all(table[n] == (unicodedata.category(chr(n)) != "Cn") for n in range(0, 0x110000, 7))
    assert table[ord("漢")]
    assert table[ord("🫠")]  # Unicode 14
    assert not any(table[ord(letter)] for letter in YOUNG)


@given(some.text(some.one_of(some.characters(), some.sampled_from(YOUNG))))
def test_a_text_is_settled_when_each_of_its_characters_is(text: str) -> None:
    text = text.encode("utf-8", "replace").decode()
    table = settled_code_points()
    wanted = all(table[ord(letter)] for letter in text)
    assert is_settled(text.encode()) == wanted
    assert plain(settled._all_of)(np.frombuffer(text.encode(), np.uint8), table) == wanted


@pytest.mark.parametrize("bad", [b"\xf7\xbf\xbf\xbf", b"a\xf4\x90\x80\x80"])
def test_beyond_the_last_code_point_nothing_is_settled(bad: bytes) -> None:
    assert not is_settled(bad)


@pytest.mark.skipif(importlib.util.find_spec("gigatoken") is None, reason="gigatoken has no wheel for this platform")
def test_the_reference_encodes_young_texts_in_the_midst_of_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = GigatokenTokenizer(Vocabulary.parse(small_vocabulary(), where="the tests"))
    texts = ["quick fox", YOUNG[0], "", f"the {YOUNG[1]} jumps", "", "über", YOUNG[2]]
    asked: list[bytes] = []
    honest = tokenizer.reference.encode_batch
    monkeypatch.setattr(tokenizer.reference, "encode_batch", lambda given: (asked.extend(given), honest(given))[1])
    found, offsets = tokenizer.encode_batch(texts)
    assert asked == [texts[n].encode() for n in (1, 3, 6)]
    wanted, wanted_offsets = honest([text.encode() for text in texts])
    assert np.array_equal(offsets, wanted_offsets)
    assert np.array_equal(found, wanted)
