"""Law 6: no document text, whatever it holds, yields a special id; `<|endoftext|>` comes from us alone.

2,000 strings made of markers and their pieces go through every engine: as opened, after save and load, after pickling,
in a spawned worker, and through a whole store. The broken twin is `tokenizers` with its defaults, and the same with
its own switch against it after one trip through save and load.
"""

import importlib.util
import multiprocessing
import pickle
import random
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tokenizers

from batchwright.engines.local import LocalExecutor
from batchwright.tokens.tokenizer import ByteTokenizer, Tokenizer, from_file, open_tokenizer
from batchwright.tokens.verification import verify

from ..tokens.material import MARKERS, prepare, small_vocabulary, write_jsonl

STRINGS = 2_000
ENGINES = ["tokenizers", *(["gigatoken"] if importlib.util.find_spec("gigatoken") else [])]


def forgeries(count: int, markers: tuple[str, ...] = MARKERS) -> list[str]:
    """Markers alone, doubled, nested, cut, spaced, in text, beside odd characters."""
    draw = random.Random(6)
    pieces = [*markers, "<|", "|>", "<", ">", "endoftext", " ", "\n", "\u200b", "\0", "text", "漢", "\ufeff", "'s"]
    made = [*markers, *(f" {marker}" for marker in markers), *(marker * 3 for marker in markers)]
    made += [marker[:4] + marker + marker[4:] for marker in markers]
    while len(made) < count:
        made.append("".join(draw.choices(pieces, k=draw.randint(1, 12))))
    return made[:count]


def forged(tokenizer: Tokenizer, texts: list[str]) -> int:
    """How many ids of these texts are special."""
    ids, _ = tokenizer.encode_batch(texts)
    return int(np.isin(ids, list(tokenizer.special_tokens.values())).sum())


def forged_in_worker(tokenizer: Tokenizer) -> int:
    return forged(tokenizer, forgeries(STRINGS))


@pytest.mark.parametrize("engine", ENGINES)
def test_no_text_yields_a_special_id_through_save_load_and_pickling(engine: str, tmp_path: Path) -> None:
    tokenizer = from_file(small_vocabulary(), engine, where="the tests")  # type: ignore[arg-type]
    texts = forgeries(STRINGS)
    assert forged(tokenizer, texts) == 0
    tokenizer.save(tmp_path / "tokenizer.json")
    reopened = open_tokenizer(tmp_path / "tokenizer.json", engine)  # type: ignore[arg-type]
    assert forged(reopened, texts) == 0
    assert reopened.hash == tokenizer.hash
    travelled = pickle.loads(pickle.dumps(tokenizer))
    assert forged(travelled, texts) == 0
    ids, _ = tokenizer.encode_batch(texts)
    assert tokenizer.decode(ids) == "".join(texts)


def test_no_text_yields_a_special_id_in_spawned_workers() -> None:
    made = [from_file(small_vocabulary(), engine, where="the tests") for engine in ENGINES]  # type: ignore[arg-type]
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert list(pool.map(forged_in_worker, [*made, ByteTokenizer()])) == [0] * (len(made) + 1)


def test_a_store_written_by_spawned_workers_has_our_boundaries_only(tmp_path: Path) -> None:
    texts = [text for text in dict.fromkeys(forgeries(STRINGS)) if text.strip() and "\0" not in text]
    source = write_jsonl(tmp_path / "a.jsonl", texts)
    tokenizer = from_file(small_vocabulary(), where="the tests")
    store = prepare(source, tmp_path / "store", tokenizer, LocalExecutor(2), partition_bytes=20_000)
    assert verify(store).sound
    stored = [
        store.ids_of(split, number) for split in store.splits for number in range(store.split(split).document_count)
    ]
    assert len(stored) == store.document_count > STRINGS // 2
    special = list(store.tokenizer.special_tokens.values())
    for ids in stored:
        assert ids[-1] == store.eot_id
        assert not np.isin(ids[:-1], special).any()


def test_gpt2s_published_vocabulary_cannot_be_forged(gpt2_tokenizer_file: Path) -> None:
    tokenizer = open_tokenizer(gpt2_tokenizer_file)
    assert forged(tokenizer, forgeries(STRINGS)) == 0


def test_the_default_of_tokenizers_is_caught() -> None:
    broken = tokenizers.Tokenizer.from_str(small_vocabulary().decode())
    special = set(from_file(small_vocabulary(), "tokenizers", where="the tests").special_tokens.values())
    encoded = broken.encode_batch(forgeries(STRINGS), add_special_tokens=False)
    assert sum(number in special for one in encoded for number in one.ids) > STRINGS // 2


def test_its_switch_against_it_is_lost_by_save_and_load_and_by_pickling() -> None:
    switched = tokenizers.Tokenizer.from_str(small_vocabulary().decode())
    switched.encode_special_tokens = True
    end = switched.token_to_id("<|endoftext|>")
    assert end not in switched.encode("<|endoftext|>").ids
    for copy in (tokenizers.Tokenizer.from_str(switched.to_str()), pickle.loads(pickle.dumps(switched))):
        assert end in copy.encode("<|endoftext|>").ids


def test_an_engine_that_yields_a_special_id_all_the_same_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = from_file(small_vocabulary(), "tokenizers", where="the tests")
    broken = tokenizers.Tokenizer.from_str(small_vocabulary().decode())
    monkeypatch.setattr(type(tokenizer), "_engine", broken)
    with pytest.raises(AssertionError, match="must not be able to make"):
        tokenizer.encode_batch(["a <|endoftext|> b"])
