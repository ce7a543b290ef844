"""Real jobs of `prepare` on a cluster where something dies in every phase, again and again, and the bytes that come of
it; a programme.

    python -m tests.engines.dying_cluster WORK [SOURCES …] [--clean PRESET] [--tokenizer FILE] [--rounds N] [--seed N]

A round is one job: filters, near-duplicates dropped, tokenized, rejections kept. In each of its phases (tokenizing,
selecting, assembling), at a drawn moment, one thing dies by SIGKILL: a worker with a task in hand, a node (another
joins), or the process that runs the job; a dead job is begun again at once, while workers of the dead one may still
write, on the cluster or on this machine alone. Over three rounds every death is aimed at every phase; `deaths` counts
those that came in time, for a short phase may be over. The store is compared, file by file, with that of one
undisturbed process pool. Without SOURCES the text is Python's own library. It prints one JSON object, and fails when a
byte differs.
"""

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import Any

import psutil

from batchwright.documents.inputs import TextSource
from batchwright.documents.near_duplicates import NearDuplicates
from batchwright.tokens import near
from batchwright.tokens.build import Progress, prepare_store
from batchwright.tokens.tokenizer import open_tokenizer
from batchwright.workflows.engines import engine_named
from batchwright.workflows.prepare import steps_named
from tests.engines.cluster import add_node, ray_nodes
from tests.tokens.material import stored_bytes

PHASES = ("tokenizing", "selecting", "assembling")
DEATHS = ("worker", "node", "driver")
LONGEST_WAIT_SECONDS = {"tokenizing": 4.0, "selecting": 1.0, "assembling": 0.5}
ALONE_SHARE = 0.3  # of the dead jobs go on without the cluster


def drive(given: argparse.Namespace) -> None:
    """In a process of its own: the job, and a line for every step of its progress."""
    near.RANGE_ROWS = 30_000  # several tasks compare

    def say(progress: Progress) -> None:
        print(progress.phase, flush=True)

    with engine_named(given.engine, ray_address=given.address) as executor:
        prepare_store(
            [TextSource(name="text", paths=tuple(map(str, given.sources)))],
            given.work,
            tokenizer=open_tokenizer(given.tokenizer),
            executor=executor,
            errors="skip",
            steps=steps_named(given.clean),
            near_duplicates=NearDuplicates(),
            validation_fraction=0.01,
            keep_rejected=True,
            partition_bytes=1_000_000,
            shard_tokens=1_000_000,
            progress=say,
        )


class Job:
    """The process that runs a job, begun again when it was killed."""

    def __init__(self, given: argparse.Namespace, out: Path, address: str | None) -> None:
        self._given, self._out, self._address = given, out, address
        self.begin("ray" if address else "local")

    def begin(self, engine: str) -> None:
        given = self._given
        command = [sys.executable, "-m", "tests.engines.dying_cluster", str(self._out), *map(str, given.sources)]
        command += ["--clean", given.clean, "--tokenizer", given.tokenizer, "--engine", engine]
        command += ["--address", str(self._address)] if engine == "ray" else []
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def phase(self) -> str:
        """What it says next; "" when it is over."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def end(self) -> int:
        """Its exit code, when it has said all."""
        while self.phase():
            pass
        return self.process.wait()


def busy_workers() -> list[psutil.Process]:
    """Workers of the cluster of this process, none of another, that have a task in hand."""
    found: list[psutil.Process] = []
    for process in psutil.Process().children(recursive=True):
        try:
            if process.cmdline()[:1] == ["ray::run_on_node"]:
                found.append(process)
        except psutil.Error:
            continue
    return found


def strike(death: str, job: Job, cluster: Any, drawn: random.Random) -> bool:
    """Let one thing die; whether there was one. A job that died goes on."""
    if death == "driver":
        if job.process.poll() is not None:
            return False
        job.process.kill()
        job.process.wait()
        job.begin("local" if drawn.random() < ALONE_SHARE else "ray")
        return True
    if death == "node":
        cluster.remove_node(drawn.choice(sorted(cluster.worker_nodes, key=lambda node: node.node_id)), False)
        add_node(cluster)
        return job.process.poll() is None
    busy = busy_workers()
    if busy:
        drawn.choice(busy).send_signal(signal.SIGKILL)
    return bool(busy)


def disturbed(number: int, job: Job, cluster: Any, drawn: random.Random, hits: dict[str, int]) -> int:
    """The exit code of a job in whose phases something dies; what died in time is counted."""
    left = {phase: DEATHS[(number + place) % len(DEATHS)] for place, phase in enumerate(PHASES)}
    while phase := job.phase():
        death = left.pop(phase, None)
        if death is not None:
            time.sleep(drawn.uniform(0, LONGEST_WAIT_SECONDS[phase]))
            if strike(death, job, cluster, drawn):
                hits[f"{death}, {phase}"] = hits.get(f"{death}, {phase}", 0) + 1
    return job.end()


def main(given: argparse.Namespace) -> dict[str, Any]:
    given.work.mkdir(parents=True)
    assert Job(given, given.work / "alone", None).end() == 0
    wanted = stored_bytes(given.work / "alone")
    drawn, hits = random.Random(given.seed), dict[str, int]()
    codes: list[int] = []
    differing: dict[int, list[str]] = {}
    with ray_nodes(3) as cluster:
        for number in range(given.rounds):
            out = given.work / "cluster"
            codes.append(disturbed(number, Job(given, out, cluster.address), cluster, drawn, hits))
            found = stored_bytes(out)
            names = [name for name in {**wanted, **found} if wanted.get(name) != found.get(name)]
            if names:
                differing[number] = names
                out.rename(given.work / f"differing-{number}")
            shutil.rmtree(out, ignore_errors=True)
    left = [process.cmdline() for process in psutil.Process().children(recursive=True)]
    return {
        "rounds": given.rounds,
        "files": len(wanted),
        "bytes": sum(map(len, wanted.values())),
        "deaths": dict(sorted(hits.items())),
        "failed": [number for number, code in enumerate(codes) if code != 0],
        "differing": differing,
        "processes left": left,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="dying_cluster")
    parser.add_argument("work", type=Path)
    parser.add_argument("sources", type=Path, nargs="*", default=[Path(sysconfig.get_paths()["stdlib"], "[a-j]*.py")])
    parser.add_argument("--clean", default="code")
    parser.add_argument("--tokenizer", default="bytes")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--engine", choices=["local", "ray"])
    parser.add_argument("--address")
    arguments = parser.parse_args()
    if arguments.engine:
        drive(arguments)
    else:
        report = main(arguments)
        print(json.dumps(report))
        sys.exit(bool(report["failed"] or report["differing"]))
