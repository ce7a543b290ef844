"""`python -m benchmarks.training`: tokens per CPU-second of our step beside nanoGPT's manner and HF's Trainer.

Every loop trains the same shape on the same tokens in a process of its own, with the same micro-batch, accumulation,
threads, fp32, fused AdamW and clipping. They take turns: a round asks each for a few updates, so that whatever else
the machine does hits all of them; the first updates are left out; medians over the rounds, and the ratio to the best
rival is the median of the rounds' own ratios. CPU-seconds are user and system, children included.
"""

import argparse
import importlib
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.corpora import CORPORA
from benchmarks.training.corpus import Corpus, write_corpus
from benchmarks.training.ours import model_config
from benchmarks.training.shapes import WORKS, Family, Work

ROOT = Path(__file__).parents[2]
TOKENS = 2_000_000
WARM_UP = 2  # updates of each loop before the first round


@dataclass(frozen=True, kw_only=True)
class Entrant:
    """A loop of a group. Ours is compared with the best rival, ours with documents isolated with ours."""

    title: str
    module: str
    options: dict[str, Any] = field(default_factory=dict)


OURS = Entrant(title="batchwright", module="ours", options={"isolate": False})
ISOLATED = Entrant(title="batchwright, documents isolated", module="ours", options={"isolate": True})
NANOGPT = Entrant(title="nanoGPT's manner", module="nanogpt")
HUGGING_FACE = Entrant(title="HF Trainer", module="hugging_face")


@dataclass(frozen=True, kw_only=True)
class Group:
    """Loops that take turns."""

    work: Work
    family: Family
    entrants: tuple[Entrant, ...]


_ALL = (OURS, ISOLATED, NANOGPT, HUGGING_FACE)
_SMALL, _SMALL_LONG, _GPT2, _GPT2_LONG = WORKS
GROUPS = (
    Group(work=_SMALL, family="rotary", entrants=_ALL),
    Group(work=_SMALL, family="classic", entrants=_ALL),
    Group(work=_SMALL_LONG, family="rotary", entrants=_ALL),
    Group(work=_GPT2, family="rotary", entrants=_ALL),
    Group(work=_GPT2, family="classic", entrants=(OURS, NANOGPT, HUGGING_FACE)),
    Group(work=_GPT2_LONG, family="rotary", entrants=(OURS, ISOLATED)),
)
QUICK = (
    Group(work=_SMALL, family="rotary", entrants=_ALL),
    Group(work=_SMALL_LONG, family="rotary", entrants=(OURS, ISOLATED)),
    Group(work=_GPT2, family="rotary", entrants=(OURS, NANOGPT)),
)


class Loop:
    """An entrant's process and the rounds it has been through."""

    def __init__(self, entrant: Entrant, group: Group, corpus: Corpus, threads: int) -> None:
        self.entrant, self.work = entrant, group.work
        self.rounds: list[dict[str, float]] = []
        environment = importlib.import_module(f"benchmarks.training.{entrant.module}").ENVIRONMENT
        if environment is not None:
            environment.make()
        python = sys.executable if environment is None else str(environment.python)
        paths = os.pathsep.join([str(ROOT), *([str(ROOT / "src")] if environment is None else [])])
        self.log = corpus.directory / f"{entrant.module}.log"
        arguments = [entrant.module, str(WORKS.index(group.work)), group.family, str(corpus.directory)]
        self.process = subprocess.Popen(
            [python, "-m", "benchmarks.training.contender", *arguments, json.dumps(entrant.options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log.open("w"),
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads), "PYTHONPATH": paths},
        )
        self.parameters = int(self._answer()["parameters"])

    def train(self, steps: int) -> dict[str, float]:
        """So many updates; CPU and wall seconds per token."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"steps": steps}) + "\n")
        self.process.stdin.flush()
        answer = self._answer()
        tokens = steps * self.work.tokens_per_step
        return {"cpu": answer["cpu"] / tokens, "wall": answer["wall"] / tokens, "loss": answer["loss"]}

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(60)

    def _answer(self) -> dict[str, float]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.entrant.title} ended with {self.process.wait()}:\n{self.log.read_text()[-2000:]}")
        return json.loads(line)


def measure(group: Group, rounds: int, threads: int) -> list[dict[str, Any]]:
    """The lines of one group."""
    vocabulary = group.work.shape.vocabulary_size
    corpus = write_corpus(CORPORA / f"training-{vocabulary}", vocabulary, TOKENS)
    loops = [Loop(entrant, group, corpus, threads) for entrant in group.entrants]
    try:
        if len({loop.parameters for loop in loops}) > 1:
            raise SystemExit(f"not one shape: {[(loop.entrant.title, loop.parameters) for loop in loops]}")
        for loop in loops:
            loop.train(WARM_UP)
        for turn in range(rounds):
            # The order turns round, so that nobody always follows the same neighbour.
            for loop in loops[turn % len(loops) :] + loops[: turn % len(loops)]:
                loop.rounds.append(loop.train(group.work.steps))
            print(
                f"{group.work.name}, {group.family}: round {turn + 1}, load {os.getloadavg()[0]:.1f}",
                file=sys.stderr,
                flush=True,
            )
    finally:
        for loop in loops:
            loop.end()
    return [_line(loop, loops, group) for loop in loops]


def _line(loop: Loop, loops: Sequence[Loop], group: Group) -> dict[str, Any]:
    """Figures of one loop, and its ratios."""
    best = min((other for other in loops if other.entrant.module != "ours"), key=_cpu, default=None)
    free = next(other for other in loops if other.entrant is OURS)
    flops = model_config(group.work, group.family).flops_per_token()
    return {
        "shape": f"{group.work.name}, {group.family}",
        "loop": loop.entrant.title,
        "parameters": loop.parameters,
        "flops per token": flops,
        "tokens per CPU-second": 1 / _cpu(loop),
        "tokens per second": 1 / statistics.median(turn["wall"] for turn in loop.rounds),
        "flops per CPU-second": flops / _cpu(loop),
        "to the best rival": _ratio(loop, best) if loop.entrant.module == "ours" else None,
        "to not isolated": _ratio(loop, free) if loop.entrant is ISOLATED else None,
        "rounds": loop.rounds,
    }


def _cpu(loop: Loop) -> float:
    return statistics.median(turn["cpu"] for turn in loop.rounds)


def _ratio(loop: Loop, other: Loop | None) -> float | None:
    """Median over the rounds of this loop's tokens per CPU-second ÷ the other's."""
    if other is None:
        return None
    return statistics.median(b["cpu"] / a["cpu"] for a, b in zip(loop.rounds, other.rounds, strict=True))


def show(lines: Sequence[dict[str, Any]]) -> str:
    """The table in Markdown."""
    columns = (
        "shape",
        "weights",
        "MFLOP/token",
        "loop",
        "tokens/CPU-s",
        "GFLOP/CPU-s",
        "÷ best rival",
        "÷ not isolated",
    )
    out = [f"| {' | '.join(columns)} |", "|---|--:|--:|---|--:|--:|--:|--:|"]
    previous = ""
    for line in lines:
        first = line["shape"] != previous
        cells = [
            *(
                (line["shape"], f"{line['parameters']:,}", f"{line['flops per token'] / 1e6:,.1f}")
                if first
                else ("",) * 3
            ),
            line["loop"],
            f"{line['tokens per CPU-second']:,.0f}",
            f"{line['flops per CPU-second'] / 1e9:,.1f}",
            *(
                "" if ratio is None else f"{ratio:.3f}"
                for ratio in (line["to the best rival"], line["to not isolated"])
            ),
        ]
        out.append(f"| {' | '.join(cells)} |")
        previous = line["shape"]
    return "\n".join(out)


def main(arguments: Sequence[str] = ()) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three rounds of less")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", nargs="*", type=int, help="numbers of groups, from 0")
    parser.add_argument("--json", type=Path, help="every round's figures; default: beside the corpora")
    options = parser.parse_args(list(arguments))
    groups = QUICK if options.quick else GROUPS
    rounds = options.rounds or (3 if options.quick else 5)
    out: Path = options.json or CORPORA / "training.json"
    before, lines = os.getloadavg()[0], list[dict[str, Any]]()
    for number in range(len(groups)) if options.only is None else options.only:
        lines += measure(groups[number], rounds, options.threads)
        # After every group, so that an interrupted run leaves what it has.
        out.write_text(json.dumps({"works": [asdict(work) for work in WORKS], "lines": lines}, indent=1))
    print(
        f"fp32, {options.threads} thread(s), medians of {rounds} interleaved rounds; load {before:.1f} before, "
        f"{os.getloadavg()[0]:.1f} after, {os.cpu_count()} cores\n"
    )
    print(show(lines))


if __name__ == "__main__":
    main(sys.argv[1:])
