"""Texts of young characters are told apart, and the reference encodes them."""

import importlib.util
import subprocess
import sys
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

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


def test_neither_this_nor_the_fast_engine_waits_for_numba() -> None:
    code = (
        "import sys; from tests.tokens.material import small_vocabulary; "
        "from batchwright.tokens.tokenizer import from_file; "
        "assert from_file(small_vocabulary(), where='').encode_batch(['über 漢'])[0].shape[0]; "
        "print(sorted({'numba', 'awkward', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


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
