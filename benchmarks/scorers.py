"""Our reader of fastText's classifiers beside the library (0.9.2, in an environment of its own): agreement and speed.

    python -m benchmarks.scorers DIRECTORY [--documents 300] [--buckets N] [--only LOSS ...] [--tiny DIRECTORY]

Of every corpus (.jsonl) in the directory some lines train a classifier that tells the corpora and this Python's own
sources apart, once per loss; then both sides judge other, whole documents, in alternating slices. `--tiny` writes
models of a few KB with the library's answers: the test data of `tests/documents/test_fasttext.py`.
"""

import argparse
import json
import random
import statistics
import subprocess
import sysconfig
import tempfile
import time
from pathlib import Path
from typing import Any

import orjson

from batchwright.documents.fasttext import open_fasttext
from benchmarks.rivals.environments import Environment

LIBRARY = Environment(name="fasttext", requirements=("numpy<2", "fasttext-wheel==0.9.2"))
LOSSES = ("softmax", "hs", "ova", "ns")
SHAPE = {"dim": 16, "minn": 2, "maxn": 4, "wordNgrams": 2, "bucket": 200_000, "epoch": 2}
TINY = {"dim": 4, "minn": 2, "maxn": 3, "wordNgrams": 2, "bucket": 150, "epoch": 5, "minCount": 700}
TINY_TEXTS = (
    "The people of this town\nhave met, and were glad.",
    "",
    "明月几时有，把酒问青天。 的 月",
    "def main() -> None:\n\treturn self.x",
    "one </s> two three",
    "__label__prose the __label__unknown of",
    "é\x0bnaïve\x00façade 🙂 x",
    "word " * 300,
)
SLICES = 6
LINES = 6000  # of the first corpus, to train with; fewer of the others, so that the tree of hs is not balanced


def library(*words: Any) -> None:
    script = Path(__file__).parent / "rivals" / "fasttext_library.py"
    subprocess.run([str(LIBRARY.python), str(script), *map(str, words)], check=True, capture_output=True)


def texts_of(directory: Path, limit: int) -> dict[str, list[str]]:
    """Corpus → so many texts from its beginning; "code" are modules of the standard library."""
    found: dict[str, list[str]] = {}
    for path in sorted(directory.glob("*.jsonl")):
        with path.open("rb") as file:
            found[path.stem] = [orjson.loads(line)["text"] for line, _ in zip(file, range(limit), strict=False)]
    modules = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    found["code"] = [path.read_text(encoding="utf-8", errors="replace") for path in modules]
    return found


def training_lines(texts: dict[str, list[str]]) -> str:
    draw, lines = random.Random(0), list[str]()
    for number, (label, each) in enumerate(texts.items()):
        kept = [line.strip() for text in each for line in text.split("\n") if len(line.strip()) > 10]
        lines += [f"__label__{label} {line}" for line in draw.sample(kept, min(LINES // (1 + number), len(kept)))]
    draw.shuffle(lines)
    return "\n".join(lines) + "\n"


def compare(model: Path, texts: list[str], home: Path) -> str:
    """One line: labels that differ, the largest difference of a probability, MB per CPU-second of both."""
    opened, _ = open_fasttext(model)
    opened.probabilities(b"compiled before it is timed")
    different, largest = 0, 0.0
    rates: dict[str, list[float]] = {"ours": [], "library": []}
    for number in range(SLICES):
        part = texts[number::SLICES]
        size = sum(len(text.encode()) for text in part) / 1e6
        (home / "texts.json").write_text(json.dumps(part))
        library("predict", model, home / "texts.json", home / "answers.json")
        said = json.loads((home / "answers.json").read_bytes())
        began = time.process_time()
        ours = [opened.probabilities(text.encode()) for text in part]
        rates["ours"].append(size / (time.process_time() - began))
        rates["library"].append(size / said["seconds"])
        for mine, theirs in zip(ours, said["answers"], strict=True):
            values = dict(zip(opened.labels, mine.tolist(), strict=True))
            largest = max([largest, *(abs(values[label] - value) for label, value in theirs.items())])
            different += max(theirs.values()) - theirs[opened.labels[int(mine.argmax())]] > 1e-6
    ours, theirs = (statistics.median(rates[side]) for side in ("ours", "library"))
    return (
        f"{len(texts):,} documents, {different} likeliest labels differ, probabilities by at most {largest:.1e}; "
        f"MB/CPU-s: {ours:.1f}, library {theirs:.1f} ({ours / theirs:.2f}×)"
    )


def write_tiny(lines: Path, home: Path) -> None:
    """Models of a few KB and what the library says of TINY_TEXTS."""
    home.mkdir(parents=True, exist_ok=True)
    truth: dict[str, Any] = {"texts": TINY_TEXTS}
    for loss in LOSSES:
        model, answers = home / f"{loss}.bin", home / "answers.json"
        library("train", lines, model, json.dumps({**TINY, "loss": loss}))
        (home / "texts.json").write_text(json.dumps(TINY_TEXTS))
        library("predict", model, home / "texts.json", answers)
        truth[loss] = json.loads(answers.read_bytes())["answers"]
    for name in ("texts.json", "answers.json"):
        (home / name).unlink()
    (home / "answers_of_the_library.json").write_text(json.dumps(truth, ensure_ascii=False, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--documents", type=int, default=300)
    parser.add_argument("--buckets", type=int, default=SHAPE["bucket"])
    parser.add_argument("--only", nargs="*", choices=LOSSES, default=LOSSES)
    parser.add_argument("--tiny", type=Path)
    chosen = parser.parse_args()
    LIBRARY.make()
    texts = texts_of(chosen.directory, 2 * chosen.documents)
    trained = {name: each[::2] for name, each in texts.items()}
    asked = [text for each in texts.values() for text in each[1::2]]
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        (home / "lines.txt").write_text(training_lines(trained))
        if chosen.tiny is not None:
            write_tiny(home / "lines.txt", chosen.tiny)
            return
        for loss in chosen.only:
            settings = {**SHAPE, "bucket": chosen.buckets, "loss": loss}
            library("train", home / "lines.txt", home / f"{loss}.bin", json.dumps(settings))
            print(f"{loss}: {compare(home / f'{loss}.bin', asked, home)}", flush=True)


if __name__ == "__main__":
    main()
