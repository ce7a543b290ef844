"""A tokenizer as others ship it, in a process that encodes what it is told to: `python encoders.py ENGINE VOCABULARY`.

Requests and answers are lines of JSON on stdin and stdout: {"texts": FILE.jsonl, "ids": FILE or null} → {"cpu": seconds
of encoding}. Needs the standard library and the engine only, so it runs in the rival's own environment. Neither engine
may make special ids of text: added tokens are taken away.
"""

import base64
import json
import sys
import time
from array import array
from collections.abc import Callable
from pathlib import Path

Encode = Callable[[list[str]], list[list[int]]]


def tokenizers(vocabulary: Path) -> Encode:
    """Hugging Face `tokenizers`, its fast path, one thread."""
    from tokenizers import Tokenizer

    engine = Tokenizer.from_str(json.dumps({**json.loads(vocabulary.read_text("utf-8")), "added_tokens": []}))
    return lambda texts: [one.ids for one in engine.encode_batch_fast(texts, add_special_tokens=False)]


def tiktoken(vocabulary: Path) -> Encode:
    """tiktoken with the split pattern that it publishes for a file of this name, one thread."""
    from tiktoken import Encoding  # type: ignore[import-not-found]
    from tiktoken_ext import openai_public  # type: ignore[import-not-found]

    lines = (line.split() for line in vocabulary.read_bytes().splitlines() if line)
    ranks = {base64.b64decode(token): int(rank) for token, rank in lines}
    openai_public.load_tiktoken_bpe = lambda *_, **__: ranks  # it would download the file
    published = getattr(openai_public, vocabulary.stem)()
    engine = Encoding(vocabulary.stem, pat_str=published["pat_str"], mergeable_ranks=ranks, special_tokens={})
    return lambda texts: engine.encode_ordinary_batch(texts, num_threads=1)


def main(engine: str, vocabulary: str) -> None:
    encode = {"tokenizers": tokenizers, "tiktoken": tiktoken}[engine](Path(vocabulary))
    for line in sys.stdin:
        request = json.loads(line)
        texts = [json.loads(each)["text"] for each in Path(request["texts"]).read_bytes().split(b"\n") if each]
        began = time.process_time()
        lists = encode(texts)
        cpu = time.process_time() - began
        if request["ids"]:
            with Path(request["ids"]).open("wb") as out:
                for ids in lists:
                    array("I", [len(ids), *ids]).tofile(out)
        print(json.dumps({"cpu": cpu}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
