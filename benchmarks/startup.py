"""What a person waits for: importing the library, `--help`, and a batch of any step of a large store.

    python -m benchmarks.startup [STORE]

Each figure is a whole fresh process, wall seconds, median of seven. Without STORE, one of ≥ 100 M tokens is prepared
once from the sources of this Python and its packages, with the byte tokenizer.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from batchwright.documents.inputs import TextSource
from batchwright.engines.local import LocalExecutor
from batchwright.tokens.build import prepare_store
from batchwright.tokens.store import TokenStore
from batchwright.tokens.tokenizer import open_tokenizer
from benchmarks.corpora import CORPORA, python_sources

REPEATS = 7


def prepared_store() -> Path:
    out = CORPORA / "store-of-bytes"
    if not (out / "manifest.json").exists():
        prepare_store(
            [TextSource(name="python", paths=tuple(str(path / "**" / "*.py") for path in python_sources()))],
            out,
            tokenizer=open_tokenizer("bytes"),
            executor=LocalExecutor(),
            errors="skip",
        )
    return out


def seconds(command: list[str]) -> list[float]:
    taken: list[float] = []
    for _ in range(REPEATS + 1):
        begin = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        taken.append(time.perf_counter() - begin)
    return taken[1:]  # the first one fills the page cache


def main(arguments: list[str] | None = None) -> None:
    given = sys.argv[1:] if arguments is None else arguments
    store = Path(given[0]) if given else prepared_store()
    opened = TokenStore.open(store)
    face = str(Path(sys.executable).with_name("batchwright"))
    step = 1 + opened.token_count // (8 * 1024) // 2
    commands = {
        "python -c pass": ([sys.executable, "-c", "pass"], None),
        "import batchwright": ([sys.executable, "-c", "import batchwright"], 0.3),
        "batchwright --help": ([face, "--help"], 0.7),
        "batchwright show, first step": ([face, "show", str(store), "-B", "8", "-T", "1024"], 0.9),
        f"batchwright show, step {step:,}": (
            [face, "show", str(store), "-B", "8", "-T", "1024", "--step", str(step)],
            0.9,
        ),
    }
    print(f"store: {opened.token_count:,} tokens, {opened.document_count:,} documents")
    print(f"{'command':<34} {'median s':>9} {'min':>6} {'max':>6} {'target':>7}")
    rows: dict[str, float] = {}
    for name, (command, target) in commands.items():
        taken = seconds(command)
        rows[name] = median(taken)
        goal = "" if target is None else f"≤ {target}"
        print(f"{name:<34} {median(taken):>9.3f} {min(taken):>6.2f} {max(taken):>6.2f} {goal:>7}")
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
