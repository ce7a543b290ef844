"""A byte-pair vocabulary learned from documents, as a `tokenizer.json`.

One trainer, named: `tokenizers`' `BpeTrainer` with GPT-2's word pattern. Guarantee: all 256 bytes are in the alphabet,
so no text is unknown; documents are taken whole, so merges may cross lines; the same texts give the same vocabulary on
every machine. The special tokens are ours: no text trains or spells them.
Price: ~5 MB of text per CPU-second, so at most `text_bytes` of it are taken, documents spread evenly over all of them.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any, cast

from batchwright.foundation.errors import InputError
from batchwright.foundation.units import MiB
from batchwright.tokens.indented_json import indented
from batchwright.tokens.vocabulary import BYTE_LETTERS, ENDOFTEXT, byte_level_body

TRAINER = "tokenizers.trainers.BpeTrainer"
TEXT_BYTES = 16 * MiB


def train_bpe(
    texts: Sequence[bytes], vocabulary_size: int, *, text_bytes: int = TEXT_BYTES, minimum_count: int = 2
) -> bytes:
    """A `tokenizer.json` of `vocabulary_size` ids: 256 bytes, merges, and `<|endoftext|>` last.

    `texts` are UTF-8 documents in a fixed order; merges seen less than `minimum_count` times are not learned.
    Raises InputError when the text is too small for a vocabulary of this size.
    """
    smallest = len(BYTE_LETTERS) + 2
    if not smallest <= vocabulary_size <= 1 << 20:
        raise InputError(f"a vocabulary of {vocabulary_size:,} ids; it has {smallest} to {1 << 20:,}")
    tokens, merges = _train(spread(texts, text_bytes), vocabulary_size - 1, minimum_count)
    if len(tokens) + 1 < vocabulary_size:
        raise InputError(
            f"the text holds no more than {len(tokens) + 1:,} different tokens, {vocabulary_size:,} were asked for",
            remedy=f"a vocabulary_size of at most {len(tokens) + 1:,}, or more text",
        )
    body = byte_level_body(tokens, merges)
    end: dict[str, Any] = {"id": len(tokens), "content": ENDOFTEXT, "special": True, "normalized": False}
    body["added_tokens"] = [{**end, "single_word": False, "lstrip": False, "rstrip": False}]
    return indented(body)


def spread(texts: Sequence[bytes], text_bytes: int) -> Iterator[bytes]:
    """Whole documents, evenly spread, of about `text_bytes` in all: one is taken when the share so far allows it."""
    total = sum(map(len, texts))
    share = min(1.0, text_bytes / total) if total else 1.0
    passed = taken = 0
    for text in texts:
        passed += len(text)
        if taken + len(text) / 2 <= passed * share:
            taken += len(text)
            yield text


def _train(texts: Iterator[bytes], vocabulary_size: int, minimum_count: int) -> tuple[dict[str, int], list[list[str]]]:
    import tokenizers  # 40 ms, and only for who trains
    from tokenizers import models, pre_tokenizers, trainers

    tokenizer = tokenizers.Tokenizer(models.BPE())
    cast(Any, tokenizer).pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        min_frequency=minimum_count,
        show_progress=False,
        initial_alphabet=BYTE_LETTERS,
        special_tokens=[],
    )
    tokenizer.train_from_iterator((text.decode() for text in texts), trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return model["vocab"], [merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"]]
