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
from pathlib import Path

from batchwright.tokens.tokenizer import Tokenizer, open_tokenizer
from benchmarks.filters import DATATROVE
from benchmarks.rivals import datatrove_path
from benchmarks.tokenizers import fetch_vocabularies
from benchmarks.unseen_rounds import Rival, blocks, compare

ROUND_BYTES = 4_000_000


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


def speed(corpora: list[Path], tokenizer: Path, rounds: int, size_bytes: int, scratch: Path) -> None:
    """The table of speed; beside it the documents that each of the two keeps."""
    opened, written, kept = open_tokenizer(tokenizer), list[Path](), [0, 0]

    def theirs(texts: list[bytes]) -> float:
        text = scratch / f"text-{len(written)}.jsonl"
        written.append(text)
        lines = (json.dumps({"text": each.decode(), "id": str(place)}) for place, each in enumerate(texts))
        text.write_text("".join(f"{line}\n" for line in lines))
        order = {"text": str(text), "out": str(scratch / f"theirs-{text.stem}"), "tokenizer": str(tokenizer)}
        answer = rival.ask(order)
        kept[1] = answer["documents"]
        return answer["cpu"]

    def ours_of_the_same(texts: list[bytes]) -> float:
        text = written[-1]  # theirs came first
        cpu, kept[0] = ours(text, scratch / f"ours-{text.stem}", opened)
        return cpu

    with Rival(DATATROVE.python, datatrove_path.__file__) as rival:
        compare(
            "raw JSONL to a filtered, deduplicated, tokenized store (documents kept: ours, theirs)",
            blocks(corpora, size_bytes),
            rounds,
            ours_of_the_same,
            theirs,
            beside=lambda: f"{kept[0]:>8,}{kept[1]:>8,}",
        )


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
        f"load {os.getloadavg()[0]:.1f}; {size:,.0f} MB of JSONL by 2 workers: {seconds:,.0f} s; {cpu:,.0f} CPU-s, "
        f"starting counted, {size / cpu:.1f} MB/CPU-s; the largest process {after.ru_maxrss / 1024:,.0f} MiB (RSS)"
    )


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
