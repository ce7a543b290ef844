"""Raw JSONL → filtered, deduplicated (exactly and nearly), tokenized store: MB per CPU-second, beside datatrove.

    python -m benchmarks.text_to_store DIRECTORY [--rounds 5] [--bytes 4000000] [--memory]

DIRECTORY holds NAME.jsonl with "text". Every round takes text that neither has seen, of all corpora in turn; both are
warm (imports, compiled code, a loaded vocabulary, a first round that does not count), on one core. Ours does more: it
hashes the input, normalises, repairs mail and HTML, audits the engine, keeps provenance, syncs. `--memory`: all corpora
at once by two workers, and how large the largest of the processes became.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from batchwright.tokens.tokenizer import Tokenizer, open_tokenizer
from benchmarks.filters import DATATROVE
from benchmarks.rivals import datatrove_path
from benchmarks.rivals.datatrove_filters import records
from benchmarks.tokenizers import fetch_vocabularies

ROUND_BYTES = 4_000_000
LONGEST = 100_000  # bytes; longer documents are left out, so that one of them is not a round


def ours(text: Path, out: Path, tokenizer: Tokenizer) -> tuple[float, int]:
    """(CPU-seconds, documents kept) of `prepare` in this process."""
    from batchwright.documents.inputs import TextSource
    from batchwright.engines.serial import SerialExecutor
    from batchwright.tokens.build import prepare_store
    from batchwright.workflows.prepare import near_named, steps_named

    began = time.process_time()
    store = prepare_store(
        [TextSource(name="benchmark", paths=(str(text),))],
        out,
        tokenizer=tokenizer,
        executor=SerialExecutor(),
        steps=steps_named("fineweb"),
        near_duplicates=near_named("drop"),
    )
    return time.process_time() - began, store.document_count


def blocks(corpora: list[Path], size: int) -> Iterator[list[str]]:
    """Unseen texts of all corpora in turn, about `size` bytes at once."""
    sources = [iter(records(str(corpus))) for corpus in corpora]
    block: list[str] = []
    gathered = 0
    while sources:
        for source in list(sources):
            text = next(source, None)
            if text is None:
                sources.remove(source)
            elif len(text.encode("utf-8", "replace")) <= LONGEST:
                block.append(text)
                gathered += len(text)
            if gathered >= size:
                yield block
                block, gathered = [], 0


def speed(corpora: list[Path], tokenizer: Path, rounds: int, size: int, scratch: Path) -> None:
    """Round by round, alternating who begins."""
    rival = subprocess.Popen(
        [str(DATATROVE.python), datatrove_path.__file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert rival.stdin is not None
    assert rival.stdout is not None
    print(f"load {os.getloadavg()[0]:.1f}; MB per CPU-second, raw JSONL to a filtered, deduplicated, tokenized store\n")
    print(f"{'round':>5}{'MB':>7}{'batchwright':>13}{'datatrove':>11}{'times':>7}{'kept':>8}{'theirs':>8}")
    figures: list[tuple[float, float]] = []
    opened = open_tokenizer(tokenizer)
    for number, block in zip(range(rounds + 1), blocks(corpora, size), strict=False):
        text = scratch / f"text-{number}.jsonl"
        text.write_text(
            "".join(json.dumps({"text": each, "id": str(place)}) + "\n" for place, each in enumerate(block))
        )
        read = sum(len(each.encode("utf-8", "replace")) for each in block) / 1e6
        mine, kept = ours(text, scratch / f"ours-{number}", opened)
        order = {"text": str(text), "out": str(scratch / f"theirs-{number}"), "tokenizer": str(tokenizer)}
        rival.stdin.write(json.dumps(order) + "\n")
        rival.stdin.flush()
        answer = json.loads(rival.stdout.readline())
        if number:  # the first one warms both
            figures.append((read / mine, read / answer["cpu"]))
            fast, slow = figures[-1]
            times = f"{fast:>13.1f}{slow:>11.2f}{fast / slow:>7.0f}"
            print(f"{number:>5}{read:>7.2f}{times}{kept:>8,}{answer['documents']:>8,}", flush=True)
    rival.stdin.close()
    rival.wait()
    fast, slow = (median(column) for column in zip(*figures, strict=True))
    print(f"\nmedian      {fast:>13.1f}{slow:>11.2f}{median(a / b for a, b in figures):>7.0f}")


def memory(corpora: list[Path], tokenizer: Path, scratch: Path) -> None:
    """The whole of the corpora through two workers: the largest process, and the pace."""
    command = [sys.executable, "-m", "batchwright", "prepare", *map(str, corpora), "--out", str(scratch / "all")]
    command += ["--tokenizer", str(tokenizer), "--clean", "fineweb", "--near-duplicates", "drop", "--workers", "2"]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run([*command, "--errors", "skip", "--json"], check=True, stdout=subprocess.DEVNULL)
    after, seconds = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic() - began
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    size = sum(path.stat().st_size for path in corpora) / 1e6
    print(
        f"load {os.getloadavg()[0]:.1f}; {size:,.0f} MB of JSONL, 2 workers: {seconds:,.0f} s, {cpu:,.0f} CPU-s, start"
    )
    print(f"and all = {size / cpu:.1f} MB/CPU-s; the largest process {after.ru_maxrss / 1024:,.0f} MiB (its RSS)")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.text_to_store", description=__doc__)
    parser.add_argument("directory", type=Path, nargs="?")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--bytes", type=int, default=ROUND_BYTES)
    parser.add_argument("--memory", action="store_true")
    given = parser.parse_args(arguments or [])
    if given.directory is None:
        print("no corpora: name a directory of NAME.jsonl")
        return
    corpora = sorted(given.directory.glob("*.jsonl"))
    folder = given.directory / "vocabularies"
    fetch_vocabularies(folder)
    with tempfile.TemporaryDirectory() as place:
        tokenizer = Path(place) / "tokenizer.json"
        open_tokenizer(folder / "gpt2").save(tokenizer)
        if given.memory:
            memory(corpora, tokenizer, Path(place))
        else:
            DATATROVE.make()
            speed(corpora, tokenizer, given.rounds, given.bytes, Path(place))


if __name__ == "__main__":
    main(sys.argv[1:])
