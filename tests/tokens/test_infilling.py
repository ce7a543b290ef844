"""Fill in the middle: the text comes back, sentinels cannot be forged, nothing but the seed and the text decides."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from batchwright.batches.tracing import text_offset
from batchwright.documents.deduplication import document_id
from batchwright.documents.document import Document, DocumentFlag
from batchwright.foundation.errors import InputError
from batchwright.tokens.infilling import (
    SENTINELS,
    CutDocument,
    Infiller,
    Infilling,
    Sentinels,
    pieces_of,
    restored,
    with_sentinels,
)
from batchwright.tokens.tokenizer import ByteTokenizer, Tokenizer, with_special_tokens
from batchwright.tokens.unknown import UnknownVocabulary

from .material import prepare, small_tokenizer, stored_bytes, texts, write_jsonl

ALL = Infilling(rate=1.0, spm_share=0.5)
TOKENIZER = with_sentinels(small_tokenizer())


def documents_of(written: list[str]) -> list[Document]:
    return [Document(text.encode(), 0, number, 0) for number, text in enumerate(written)]


def arranged(
    written: list[str], infilling: Infilling, tokenizer: Tokenizer = TOKENIZER, seed: int = 0
) -> tuple[list[CutDocument | None], list[np.ndarray]]:
    infiller = Infiller(infilling, seed=seed, tokenizer=tokenizer)
    block = documents_of(written)
    names = [document_id(document.utf8) for document in block]
    cuts = infiller.cut(block, names)
    encoded = tokenizer.encode_batch([piece.utf8 for piece, _ in pieces_of(block, names, cuts)])
    ids, offsets = infiller.arrange(cuts, *encoded)
    return cuts, [ids[offsets[n] : offsets[n + 1]] for n in range(len(block))]


def comes_back(text: str, tokenizer: Tokenizer = TOKENIZER) -> bool:
    (cut,), (ids,) = arranged([text], ALL, tokenizer)
    sentinels = [tokenizer.special_tokens[name] for name in SENTINELS]
    return (
        cut is not None
        and [int((ids == number).sum()) for number in sentinels] == [1, 1, 1]
        and tokenizer.decode(restored(tokenizer, ids)) == text
    )


nasty = some.text(some.one_of(some.characters(codec="utf-8"), some.sampled_from("ab\n é漢🙂"))) | some.lists(
    some.sampled_from([*SENTINELS, "x", "<|endoftext|>"])
).map("".join)


@settings(max_examples=150, deadline=None)
@given(nasty)
def test_the_text_comes_back_from_the_ids_and_no_text_forges_a_sentinel(text: str) -> None:
    assert comes_back(text)


def test_a_twin_that_puts_sentinels_in_as_text_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def as_text(self: Sentinels, pieces: list[np.ndarray], suffix_first: bool) -> list[np.ndarray]:
        marks = [TOKENIZER.encode_batch([name])[0] for name in SENTINELS]
        return [marks[0], pieces[0], marks[2], pieces[2], marks[1], pieces[1]]

    monkeypatch.setattr(Sentinels, "arrange", as_text)
    assert not comes_back("some text")


def test_a_twin_that_mixes_prefix_and_suffix_up_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Sentinels.arrange
    monkeypatch.setattr(Sentinels, "arrange", lambda self, pieces, spm: honest(self, pieces[::-1], spm))
    assert not all(comes_back(text) for text in texts())


def test_cuts_fall_between_characters_and_depend_on_seed_and_text_alone() -> None:
    written = ["漢字🙂é" * 9, *texts()]
    cuts, ids = arranged(written, ALL)
    assert all(
        "".join(piece.decode() for piece in cut.pieces) == text for cut, text in zip(cuts, written, strict=True) if cut
    )
    alone = [arranged([text], ALL)[1][0] for text in written]
    assert all(np.array_equal(one, other) for one, other in zip(ids, alone, strict=True))
    assert arranged(written, ALL, seed=1)[0] != cuts


def test_rates_are_kept() -> None:
    written = [f"text number {n}" for n in range(4000)]
    cuts, _ = arranged(written, Infilling(rate=0.3, spm_share=0.25))
    chosen = [cut for cut in cuts if cut]
    assert abs(len(chosen) - 1200) < 120
    assert abs(sum(cut.suffix_first for cut in chosen) - 300) < 70
    assert not any(arranged(written[:50], Infilling(rate=0.0))[0])
    places = [len(piece) for cut in chosen for piece in cut.pieces]
    assert max(places) - min(places) >= 14  # every length occurs, none and all of it too


def test_sentinels_are_reused_or_added_behind_the_last_id() -> None:
    assert TOKENIZER.special_tokens["<|fim_prefix|>"] == small_tokenizer().special_tokens["<|fim_prefix|>"]
    assert TOKENIZER.special_tokens["<|fim_middle|>"] == small_tokenizer().vocabulary_size
    assert with_sentinels(TOKENIZER) is TOKENIZER
    stars = with_special_tokens(small_tokenizer(), ["<fim_prefix>", "<fim_middle>", "<fim_suffix>"])
    assert with_sentinels(stars) is stars
    octets = with_sentinels(ByteTokenizer())
    assert (octets.vocabulary_size, octets.eot_id, octets.eot_token) == (260, 256, "<|endoftext|>")
    with pytest.raises(InputError, match="cannot be given special tokens"):
        with_sentinels(UnknownVocabulary(vocabulary_size=9, eot_id=0))


@pytest.mark.parametrize("wrong", [{"rate": 1.5}, {"rate": -0.1}, {"rate": 0.5, "spm_share": 2.0}])
def test_shares_lie_between_0_and_1(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match="between 0 and 1"):
        Infilling(**wrong)


def test_a_store_marks_counts_and_gives_back_what_it_cut(tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "in.jsonl", texts())
    plain = prepare(source, tmp_path / "plain", small_tokenizer())
    store = prepare(source, tmp_path / "store", small_tokenizer(), infilling=replace(ALL, rate=0.5))
    again = prepare(
        source, tmp_path / "again", small_tokenizer(), infilling=replace(ALL, rate=0.5), partition_bytes=900
    )
    assert stored_bytes(store.directory) == stored_bytes(again.directory)
    flags: list[int] = []
    for split in ("train", "validation"):
        count = store.split(split).document_count
        assert count == plain.split(split).document_count
        for number in range(count):
            origin = store.provenance(split, number)
            flags.append(origin.flags & (DocumentFlag.INFILLED | DocumentFlag.SUFFIX_FIRST))
            assert origin.id == plain.provenance(split, number).id
            assert store.text_of(split, number) == plain.text_of(split, number)
    counted = store.manifest.tally["infilled"]
    assert counted["psm"]["documents"] == flags.count(4) > 0
    assert counted["spm"]["documents"] == flags.count(12) > 0
    assert flags.count(0) > 0
    assert store.token_count >= plain.token_count + 3 * (flags.count(4) + flags.count(12))
    assert "infilled" not in plain.manifest.tally
    assert "infilling" not in plain.manifest.recipe


def test_a_token_of_a_cut_document_is_placed_in_the_text(tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "in.jsonl", [f"{n}: abcdefghijklmnopqrstuvwxyz" for n in range(12)])
    store = prepare(source, tmp_path / "store", ByteTokenizer(), infilling=ALL, validation_fraction=0.0)
    special = set(store.tokenizer.special_tokens.values())
    for number in range(12):
        ids, text = store.ids_of("train", number), store.text_of("train", number).encode()
        seen = [text_offset(store, "train", number, token) for token, i in enumerate(ids.tolist()) if i not in special]
        assert sorted(seen) == list(range(len(text)))
        assert all(
            text[text_offset(store, "train", number, token)] == i
            for token, i in enumerate(ids.tolist())
            if i not in special
        )
        assert text_offset(store, "train", number, len(ids) - 1) == len(text)
