"""What the tests of tokens share: small texts, a small trained vocabulary with markers, a store, and its bytes."""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from batchwright.documents.inputs import TextSource
from batchwright.engines.serial import SerialExecutor
from batchwright.foundation.execution import Executor
from batchwright.tokens.bpe import train_bpe
from batchwright.tokens.build import prepare_store
from batchwright.tokens.store import PROVENANCE_FILE, TokenStore
from batchwright.tokens.tokenizer import ByteTokenizer, Engine, Tokenizer, from_file

MARKERS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|fim_prefix|>", "</s>", "[CLS]")


def texts(count: int = 60) -> list[str]:
    """Documents of different lengths, two of them twice, one not ASCII."""
    made = [f"Document {n}: " + "the quick brown fox jumps. " * (n % 7) + str(n * n) for n in range(count)]
    made[count // 2] = made[3]
    made[count - 1] = made[5]
    made[7] = "naïve façade – 漢字かな交じり文 🙂 " * 3
    return made


def near_texts(count: int = 20) -> list[str]:
    """Long texts of words that are all different, each followed after a while by a copy with one word replaced."""
    made = [" ".join(f"w{n * 1000 + place}" for place in range(120)) for n in range(count)]
    return made + [text.replace(f"w{n * 1000 + 30} ", "other ") for n, text in enumerate(made)]


def write_jsonl(path: Path, documents: Sequence[str]) -> Path:
    path.write_bytes(b"".join(orjson.dumps({"text": text}) + b"\n" for text in documents))
    return path


@cache
def small_vocabulary() -> bytes:
    """A `tokenizer.json` of 400 ids, with the markers of chat and infilling vocabularies among its added tokens."""
    body = json.loads(train_bpe([text.encode() for text in texts()] * 3, 400))
    shape = {"special": True, "normalized": False, "single_word": False, "lstrip": False, "rstrip": False}
    known = body["added_tokens"][0]["id"]
    body["added_tokens"] = [{"id": known + n, "content": marker, **shape} for n, marker in enumerate(MARKERS)]
    return json.dumps(body).encode()


def small_tokenizer(engine: Engine = "tokenizers") -> Tokenizer:
    return from_file(small_vocabulary(), engine, where="the tests")


def prepare(
    source: Path, out: Path, tokenizer: Tokenizer | None = None, executor: Executor | None = None, **settings: Any
) -> TokenStore:
    """A store with the defaults of the tests."""
    defaults: dict[str, Any] = {"validation_fraction": 0.2, "shard_tokens": 1500}
    return prepare_store(
        [TextSource(name="tests", paths=(str(source),))],
        out,
        tokenizer=tokenizer or ByteTokenizer(),
        executor=executor or SerialExecutor(),
        **{**defaults, **settings},
    )


def stored_bytes(directory: Path) -> dict[str, bytes]:
    """Every file of a store but the lock, the record of time and place, and the pages that tell of them to people."""
    left_out = {".lock", PROVENANCE_FILE, "report.md", "README.md"}
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.name not in left_out
    }
