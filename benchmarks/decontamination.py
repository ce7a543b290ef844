"""Evaluation texts planted in real documents: how many are found, how many innocent documents go, how fast.

    python -m benchmarks.decontamination DIRECTORY [--bytes 20000000]

Of every corpus (*.jsonl in DIRECTORY) every 50th document gives its middle 30 words to the evaluation file. Of the
others every 20th gets one of these passages between two of its words, in upper case and with other signs between the
words. Found of planted; dropped of those that were left alone, which may well share sentences with another document of
their corpus.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from batchwright.documents.decontamination import WORDS, Decontamination
from batchwright.documents.document import Document
from batchwright.documents.pipeline import Dropped
from batchwright.documents.word_runs import lowered, words_of
from benchmarks.tokenizers import corpus

PASSAGE_WORDS = 30
EVALUATED_EVERY, PLANTED_EVERY = 50, 20


def passage(text: str) -> str:
    """The middle words of a text."""
    words = text.split()
    middle = max(0, len(words) // 2 - PASSAGE_WORDS // 2)
    return " ".join(words[middle : middle + PASSAGE_WORDS])


def long_enough(text: str) -> bool:
    """A run of words is in it, and upper case loses none of its letters."""
    return len(words_of(lowered(text.encode()))[0]) >= WORDS and text.upper().lower() == text.lower()


def planted(text: str, quoted: str) -> str:
    words = text.split(" ")
    words.insert(len(words) // 2, " – ".join(quoted.upper().split()))
    return " ".join(words)


def measure(texts: list[str], place: Path) -> dict[str, float]:
    passages = [each for text in texts[::EVALUATED_EVERY] if long_enough(each := passage(text))]
    place.write_text("".join(json.dumps({"question": each}) + "\n" for each in passages))
    step = Decontamination.of([place])
    others = [text for number, text in enumerate(texts) if number % EVALUATED_EVERY]
    chosen = [number % PLANTED_EVERY == 0 for number in range(len(others))]
    documents = [
        Document((planted(text, passages[number % len(passages)]) if plant else text).encode(), 0, 0, 0)
        for number, (text, plant) in enumerate(zip(others, chosen, strict=True))
    ]
    step(Document("warm: é".encode(), 0, 0, 0))
    began = time.process_time()
    dropped = [isinstance(step(document), Dropped) for document in documents]
    cpu = time.process_time() - began
    return {
        "planted": sum(chosen),
        "found": sum(gone and plant for gone, plant in zip(dropped, chosen, strict=True)),
        "alone": len(chosen) - sum(chosen),
        "dropped": sum(gone and not plant for gone, plant in zip(dropped, chosen, strict=True)),
        "speed": sum(len(document.utf8) for document in documents) / 1e6 / cpu,
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.decontamination")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--bytes", type=int, default=20_000_000)
    given: Any = parser.parse_args(arguments)
    print(f"{'':<14}{'found of planted':>18}{'dropped of others':>20}{'MB/CPU-s':>10}")
    for path in sorted(given.directory.glob("*.jsonl")):
        with tempfile.TemporaryDirectory() as scratch:
            row = measure(corpus(path, given.bytes), Path(scratch) / "evaluation.jsonl")
        found, others = f"{row['found']:,}/{row['planted']:,}", f"{row['dropped']:,}/{row['alone']:,}"
        print(f"{path.stem:<14}{found:>18}{others:>20}{row['speed']:>10.0f}", flush=True)


if __name__ == "__main__":
    main()
