"""What an engine costs: the same job in one process, in the local pool and on a Ray cluster, wall and CPU seconds.

    python -m benchmarks.engines [--megabytes 96] [--rounds 3] [--tokenizer FILE]

The job is `prepare_store` over Python's sources, in partitions of 8 MB, with two workers (the first engine: one). The
CPU seconds are of all processes that a run started, read ten times a second while they live; what
starting costs (imports, spawning, Ray's servers) is measured by the same engine with a job of one tiny file and
taken off. Rounds alternate the engines. Wall times mean something on an idle machine alone: the load is printed.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks.prepare import corpus, trained

ENGINES = {"one process": ("local", 1), "local pool of 2": ("local", 2), "ray, 2 cores": ("ray", 2)}
_LOOK_SECONDS = 0.1


def work(name: str, text: Path, tokenizer: Path) -> None:
    """In a fresh process: one job."""
    from batchwright.documents.inputs import TextSource
    from batchwright.tokens.build import prepare_store
    from batchwright.tokens.tokenizer import open_tokenizer
    from batchwright.workflows.engines import engine_named

    kind, workers = ENGINES[name]
    with tempfile.TemporaryDirectory() as out, engine_named(kind, workers=workers) as executor:  # type: ignore[arg-type]
        store = prepare_store(
            [TextSource(name="benchmark", paths=(str(text),))],
            Path(out) / "store",
            tokenizer=open_tokenizer(tokenizer),
            executor=executor,
            partition_bytes=8_000_000,
        )
        print(store.fingerprint)


class Family:
    """CPU seconds of a process and of everything it starts, what ends meanwhile included."""

    def __init__(self, process: int) -> None:
        self._root = psutil.Process(process)
        self._seconds: dict[tuple[int, float], float] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        while not self._over.wait(_LOOK_SECONDS):
            try:
                members = [self._root, *self._root.children(recursive=True)]
            except psutil.NoSuchProcess:
                return
            for member in members:
                try:
                    times = member.cpu_times()
                    self._seconds[member.pid, member.create_time()] = times.user + times.system
                except psutil.Error:
                    continue

    def end(self) -> float:
        self._over.set()
        self._thread.join()
        return sum(self._seconds.values())


def run(name: str, text: Path, tokenizer: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.engines", "--engine", name, "--text", str(text)]
    began = time.perf_counter()
    process = subprocess.Popen([*command, "--tokenizer", str(tokenizer)], stdout=subprocess.PIPE, text=True)
    family = Family(process.pid)
    said, _ = process.communicate()
    cpu = family.end()
    assert process.returncode == 0
    return {"wall": time.perf_counter() - began, "cpu": cpu, "fingerprint": said.split()[-1]}


def beginning(text: Path, out: Path, size: int) -> Path:
    """The first lines of a corpus, about `size` bytes."""
    done = 0
    with text.open("rb") as lines, out.open("wb") as file:
        for line in lines:
            file.write(line)
            done += len(line)
            if done >= size:
                break
    return out


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.engines")
    parser.add_argument("--megabytes", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokenizer", type=Path)
    parser.add_argument("--text", type=Path)
    parser.add_argument("--engine", choices=ENGINES)
    given: Any = parser.parse_args(arguments or [])
    text = given.text or corpus()[0]
    tokenizer = given.tokenizer or trained([text])
    if given.engine:
        work(given.engine, text, tokenizer)
        return
    with tempfile.TemporaryDirectory() as home:
        large = beginning(text, Path(home) / "text.jsonl", given.megabytes * 1_000_000)
        small = beginning(text, Path(home) / "one.jsonl", 1)
        rounds = [measure(large, small, tokenizer) for _ in range(given.rounds)]
    for one in rounds:
        print(json.dumps(one))
    middle = {
        name: {key: statistics.median(one[name][key] for one in rounds) for key in ("wall", "cpu")} for name in ENGINES
    }
    pool, ray, alone = middle["local pool of 2"], middle["ray, 2 cores"], middle["one process"]
    print(f"start aside: ray ÷ pool {ray['cpu'] / pool['cpu']:.2f} in CPU seconds; ")
    print(f"one process ÷ pool of 2 {alone['wall'] / pool['wall']:.2f} in wall seconds")


def measure(large: Path, small: Path, tokenizer: Path) -> dict[str, Any]:
    """One round: every engine's figures with what starting costs taken off, and that beside them."""
    result: dict[str, Any] = {"load": os.getloadavg()[0]}
    for name in ENGINES:
        start, whole = run(name, small, tokenizer), run(name, large, tokenizer)
        result[name] = {
            "wall": round(whole["wall"] - start["wall"], 2),
            "cpu": round(whole["cpu"] - start["cpu"], 2),
            "start wall": round(start["wall"], 2),
            "start cpu": round(start["cpu"], 2),
            "fingerprint": whole["fingerprint"],
        }
    assert len({result[name]["fingerprint"] for name in ENGINES}) == 1, "the engines wrote different stores"
    return result


if __name__ == "__main__":
    main(sys.argv[1:])
