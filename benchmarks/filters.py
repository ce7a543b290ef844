"""The published filters: do they decide as datatrove does, and what do they cost?

    python -m benchmarks.filters DIRECTORY [--agree] [--rounds 7]     DIRECTORY holds NAME.jsonl with "text"

Speed: the chain Gopher repetition, Gopher quality, C4 (FineWeb's setting), FineWeb over every document, none left out
when an earlier filter drops it; rounds alternate ours and datatrove 0.10.1, each round on text that neither has seen.
Agreement (`--agree`, hours: datatrove takes ~4 s per MB): every document of every corpus through each filter alone and
FineWeb after C4; reasons and C4's text compared. datatrove's answers are kept beside the benchmark's other corpora.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.corpora import CORPORA
from benchmarks.rivals import datatrove_filters
from benchmarks.rivals.environments import Environment
from benchmarks.unseen_rounds import Rival, blocks, compare, texts_of

DATATROVE = Environment(
    name="datatrove", requirements=("datatrove[processing]==0.10.1", "spacy==3.8.18", "orjson==3.11.4")
)
ROUND_BYTES = 1_500_000


def ours() -> dict[str, Any]:
    """Our filters under the rival's names."""
    from batchwright.documents.filters.c4 import C4Quality
    from batchwright.documents.filters.fineweb import FineWebQuality
    from batchwright.documents.filters.gopher_quality import GopherQuality
    from batchwright.documents.filters.gopher_repetition import GopherRepetition

    steps = (
        GopherRepetition(),
        GopherQuality(),
        C4Quality(),
        C4Quality(terminal_punctuation=False),
        FineWebQuality(),
    )
    return dict(zip(datatrove_filters.FILTERS, steps, strict=True))


def reasons(steps: dict[str, Any], utf8: bytes) -> dict[str, str]:
    """Every filter's answer, as `datatrove_filters.all_reasons` gives them."""
    from batchwright.documents.document import Document

    document = Document(utf8, 0, 0, 0)
    found: dict[str, str] = {}
    for name, step in steps.items():
        after = step(document)
        found[name] = getattr(after, "reason", "")
        if name.startswith("c4") and not found[name]:
            found[f"{name}_text"] = hashlib.sha1(after.utf8).hexdigest()[:16]
            if name == "c4_fineweb":
                found["fineweb_after_c4"] = getattr(steps["fineweb"](after), "reason", "")
    return found


def chain(steps: dict[str, Any], texts: list[bytes]) -> float:
    """CPU-seconds of the four filters over texts."""
    from batchwright.documents.document import Document

    order = [steps[name] for name in ("gopher_repetition", "gopher_quality", "c4_fineweb", "fineweb")]
    began = time.process_time()
    for utf8 in texts:
        document = Document(utf8, 0, 0, 0)
        for step in order:
            after = step(document)
            document = after if isinstance(after, Document) else document
    return time.process_time() - began


def truth(corpus: Path) -> list[dict[str, str]]:
    """datatrove's answers about a corpus, those that are missing asked for."""
    kept = CORPORA / "datatrove" / corpus.name
    kept.parent.mkdir(parents=True, exist_ok=True)
    known = kept.read_bytes().count(b"\n") if kept.exists() else 0
    with corpus.open("rb") as lines:
        total = sum(1 for _ in lines)
    if known < total:
        order = json.dumps({"decide": str(corpus.resolve()), "from": known}) + "\n"
        with kept.open("ab") as out:
            subprocess.run(rival_command(), input=order.encode(), stdout=out, check=True, stderr=subprocess.DEVNULL)
    return [json.loads(line) for line in kept.read_bytes().splitlines()]


def rival_command() -> list[str]:
    return [str(DATATROVE.python), datatrove_filters.__file__]


def agree(corpora: list[Path]) -> None:
    """The table of agreement."""
    steps = ours()
    columns = (*datatrove_filters.FILTERS, "fineweb_after_c4", "c4_text", "c4_fineweb_text")
    print(f"{'documents alike, of':<16}{'':>9}", *(f"{column:>18}" for column in columns))
    for corpus in corpora:
        differing: Counter[str] = Counter()
        examples: list[str] = []
        total = 0
        for utf8, theirs in zip(texts_of(corpus), truth(corpus), strict=False):
            found = reasons(steps, utf8)
            for column in columns:
                if found.get(column, "") != theirs.get(column, ""):
                    differing[column] += 1
                    examples.append(f"  record {total}: {column}: {found.get(column)!r}, not {theirs.get(column)!r}")
            total += 1
        print(f"{corpus.stem:<16}{total:>9,}", *(f"{total - differing[column]:>18,}" for column in columns))
        print(*examples[:20], sep="\n", end="\n" if examples else "")


def speed(corpora: list[Path], rounds: int) -> None:
    """The table of speed."""
    steps = ours()
    unseen = blocks(corpora, ROUND_BYTES)
    chain(steps, next(unseen)[:50])  # compiled
    with Rival(DATATROVE.python, datatrove_filters.__file__) as rival:
        compare(
            "all four filters on every document",
            unseen,
            rounds,
            lambda texts: chain(steps, texts),
            lambda texts: rival.ask({"time": [text.decode() for text in texts]})["cpu"],
        )


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.filters", description=__doc__)
    parser.add_argument("directory", type=Path, nargs="?")
    parser.add_argument("--agree", action="store_true")
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args(arguments or [])
    named = os.environ.get("BATCHWRIGHT_BENCHMARK_CORPORA")
    directory = given.directory or (Path(named) if named else None)
    if directory is None:
        print("no corpora: name a directory of NAME.jsonl, or set BATCHWRIGHT_BENCHMARK_CORPORA")
        return
    corpora = [path for path in sorted(directory.glob("*.jsonl")) if not given.only or path.stem in given.only]
    DATATROVE.make()
    if given.agree:
        agree(corpora)
    else:
        speed(corpora, given.rounds)


if __name__ == "__main__":
    main(sys.argv[1:])
