"""JSONL → token store: MB of text per CPU-second and peak memory, beside what people use.

    python -m benchmarks.prepare [--text FILE.jsonl …] [--tokenizer FILE]

The corpus may also come as BATCHWRIGHT_BENCHMARK_TEXT (separated by ":"), the vocabulary as
BATCHWRIGHT_BENCHMARK_TOKENIZER; else: the sources of this Python and its packages, and 32,000 ids trained on them.

Every contender reads the lines, parses them, encodes the text and writes uint16 ids with <|endoftext|> after each
document, in a fresh process on one thread, so all text is seen once and loading is counted. Ours also cleans,
deduplicates, hashes, audits, keeps provenance, checksums and syncs. The slow rivals get the first `--rival-bytes`.
Rounds alternate the contenders.
"""

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.corpora import CORPORA, python_sources
from benchmarks.rivals.environments import TIKTOKEN

CORPUS_BYTES = 160_000_000
GPT2_WORDS = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def batchwright(text: list[Path], tokenizer: Path, out: Path, limit: int) -> int:
    """Ours: the whole of `prepare`, in one process."""
    from batchwright.documents.inputs import TextSource
    from batchwright.engines.serial import SerialExecutor
    from batchwright.tokens.build import prepare_store
    from batchwright.tokens.tokenizer import open_tokenizer

    source = TextSource(name="benchmark", paths=tuple(str(path) for path in text))
    store = prepare_store([source], out / "store", tokenizer=open_tokenizer(tokenizer), executor=SerialExecutor())
    return int(store.manifest.tally["read"]["bytes"])


def tokenizers(text: list[Path], tokenizer: Path, out: Path, limit: int) -> int:
    """Hugging Face `tokenizers`, its fast path."""
    import numpy as np
    from tokenizers import Tokenizer

    engine = Tokenizer.from_file(str(tokenizer))
    end = engine.token_to_id("<|endoftext|>")
    done = 0
    with (out / "ids.bin").open("wb") as file:
        for block in _blocks(text, limit):
            for one in engine.encode_batch_fast(block, add_special_tokens=False):
                file.write(np.array([*one.ids, end], np.uint16).tobytes())
            done += sum(len(one.encode()) for one in block)
    return done


def tiktoken(text: list[Path], tokenizer: Path, out: Path, limit: int) -> int:
    """tiktoken with the same vocabulary. Runs in an environment of its own, which holds nothing of ours."""
    from array import array

    from tiktoken import Encoding  # type: ignore[import-not-found]

    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    spare = iter(range(256, 512))
    letters = {chr(byte if byte in printable else next(spare)): byte for byte in range(256)}
    body = json.loads(tokenizer.read_text())
    special = {token["content"]: token["id"] for token in body["added_tokens"]}
    vocabulary = {word: number for word, number in body["model"]["vocab"].items() if word not in special}
    ranks = {bytes(letters[letter] for letter in word): number for word, number in vocabulary.items()}
    engine = Encoding("benchmark", pat_str=GPT2_WORDS, mergeable_ranks=ranks, special_tokens=special)
    done = 0
    with (out / "ids.bin").open("wb") as file:
        for block in _blocks(text, limit):
            for ids in engine.encode_ordinary_batch(block, num_threads=1):
                array("H", [*ids, special["<|endoftext|>"]]).tofile(file)
            done += sum(len(one.encode()) for one in block)
    return done


CONTENDERS = {"batchwright": batchwright, "tokenizers": tokenizers, "tiktoken": tiktoken}


def _blocks(text: list[Path], limit: int) -> Iterator[list[str]]:
    block: list[str] = []
    size = done = 0
    for path in text:
        with path.open("rb") as lines:
            for line in lines:
                block.append(json.loads(line)["text"])
                size += len(line)
                if size > 2**20:
                    yield block
                    done += size
                    block, size = [], 0
                if done >= limit:
                    return
    if block:
        yield block


def run(name: str, text: list[Path], tokenizer: Path, limit: int) -> dict[str, float]:
    """One contender in a fresh process: bytes, CPU seconds, peak bytes."""
    python = sys.executable if name != "tiktoken" else str(TIKTOKEN.python)
    arguments = ["--contender", name, "--tokenizer", str(tokenizer), "--rival-bytes", str(limit)]
    environment = {**os.environ, "TOKENIZERS_PARALLELISM": "false", "RAYON_NUM_THREADS": "1"}
    command = [python, "-m", "benchmarks.prepare", *arguments, "--text", *(str(path) for path in text)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def contend(name: str, text: list[Path], tokenizer: Path, limit: int) -> None:
    """In the fresh process: do the job and print its figures as JSON."""
    with tempfile.TemporaryDirectory() as out:
        began = time.perf_counter()
        size = CONTENDERS[name](text, tokenizer, Path(out), limit)
        wall = time.perf_counter() - began
    used = resource.getrusage(resource.RUSAGE_SELF)
    figures = {"bytes": size, "cpu": used.ru_utime + used.ru_stime, "wall": wall, "peak": used.ru_maxrss * 1024}
    print(json.dumps(figures))


def corpus() -> list[Path]:
    """Distinct sources of this Python and its packages, as JSONL, made once."""
    path = CORPORA / "python.jsonl"
    if path.exists():
        return [path]
    seen: set[bytes] = set()
    size = 0
    path.parent.mkdir(exist_ok=True)
    with path.with_suffix(".part").open("w") as out:
        for root in python_sources():
            for file in sorted(root.rglob("*.py")):
                raw = file.read_bytes()
                if size > CORPUS_BYTES or hashlib.sha256(raw).digest() in seen:
                    continue
                try:
                    out.write(json.dumps({"text": raw.decode()}, ensure_ascii=False) + "\n")
                except UnicodeDecodeError:
                    continue
                seen.add(hashlib.sha256(raw).digest())
                size += len(raw)
    path.with_suffix(".part").rename(path)
    return [path]


def trained(text: list[Path]) -> Path:
    """A vocabulary of the corpus' own, made once, where none is given."""
    from batchwright.tokens.bpe import train_bpe

    path = CORPORA / "tokenizer.json"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(train_bpe([one.encode() for block in _blocks(text, 40_000_000) for one in block], 32_000))
    return path


def has_tiktoken() -> bool:
    """Make the rival's environment; without a network the benchmark goes on without it."""
    try:
        TIKTOKEN.make()
    except subprocess.CalledProcessError:
        return False
    return True


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.prepare")
    parser.add_argument("--text", nargs="+", type=Path)
    parser.add_argument("--tokenizer", type=Path)
    parser.add_argument("--rival-bytes", type=int, default=12_000_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--contender", choices=CONTENDERS)
    given: Any = parser.parse_args(arguments or [])
    named = os.environ.get("BATCHWRIGHT_BENCHMARK_TEXT")
    text = given.text or ([Path(part) for part in named.split(":")] if named else corpus())
    vocabulary = os.environ.get("BATCHWRIGHT_BENCHMARK_TOKENIZER")
    tokenizer = given.tokenizer or (Path(vocabulary) if vocabulary else trained(text))
    if given.contender:
        contend(given.contender, text, tokenizer, given.rival_bytes)
        return
    names = [name for name in CONTENDERS if name != "tiktoken" or has_tiktoken()]
    print(f"text: {', '.join(path.name for path in text)}; vocabulary: {tokenizer}; one thread\n")
    print(f"{'':<14}{'MB of text':>12}{'CPU s':>9}{'MB/CPU-s':>11}{'peak MiB':>10}")
    for _ in range(given.rounds):
        for name in names:
            figures = run(name, text, tokenizer, given.rival_bytes)
            size, cpu = figures["bytes"] / 1e6, figures["cpu"]
            print(f"{name:<14}{size:>12.1f}{cpu:>9.2f}{size / cpu:>11.1f}{figures['peak'] / 2**20:>10.0f}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
