"""`python -m benchmarks.rivals`: the table.

Every rival's environment is made (`--only` picks some), the same tokens are converted to its format, and one process
per rival waits for orders; a round asks each of them in turn for `--seconds` of batches, so that whatever else the
machine does hits all of them. Medians over the rounds, per CPU-second (workers counted) and per second. A rival that
cannot be installed or run stands in the table with its reason.
"""

import argparse
import importlib
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.corpora import CORPORA
from benchmarks.rivals.contender import Variant
from benchmarks.rivals.corpus import Corpus, T, write_corpus

MODULES = (
    "ours",
    "nanogpt",
    "torch_loaders",
    "megatron",
    "streaming",
    "litdata_tokens",
    "grain_memmap",
    "olmo_core",
)
SIZES = (32, 512)
ROOT = Path(__file__).parents[2]


class Refused(Exception):
    """A rival said why not."""


@dataclass(kw_only=True)
class Process:
    """A rival's process, and what was measured of its variants: title → measure → figures of the rounds."""

    module: str
    log: Path
    process: "subprocess.Popen[str] | None" = None
    figures: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    @property
    def variants(self) -> dict[str, Variant]:
        return importlib.import_module(f"benchmarks.rivals.{self.module}").VARIANTS

    def begin(self, corpus: Corpus) -> None:
        """Environment, process, conversion. What fails becomes every variant's reason."""
        try:
            environment = importlib.import_module(f"benchmarks.rivals.{self.module}").ENVIRONMENT
            if environment is not None:
                environment.make()
            python = sys.executable if environment is None else str(environment.python)
            paths = os.pathsep.join([str(ROOT), *([str(ROOT / "src")] if environment is None else [])])
            threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
            self.process = subprocess.Popen(
                [python, "-m", "benchmarks.rivals.contender", self.module, str(corpus.directory)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self.log.open("w"),
                text=True,
                env={**os.environ, **threads, "PYTHONPATH": paths},
            )
            seconds = self.order("convert")["seconds"]
            print(f"{self.module}: converted in {seconds:.1f} s", file=sys.stderr, flush=True)
        except (Refused, subprocess.CalledProcessError) as error:
            words = getattr(error, "stderr", None) or str(error)
            self.reasons |= dict.fromkeys(self.variants, str(words).strip().splitlines()[-1])

    def order(self, do: str, **fields: Any) -> dict[str, Any]:
        """Ask and wait. Raises Refused with the rival's error."""
        assert self.process is not None
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps({"do": do, **fields}) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise Refused(f"the process ended with status {self.process.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            raise Refused(answer["error"])
        return answer

    def note(self, title: str, measure: str, do: str, **fields: Any) -> None:
        """Order, and keep the figures under a measure's name; a refusal becomes the variant's reason."""
        if title in self.reasons:
            return
        try:
            answer = self.order(do, variant=title, **fields)
        except Refused as reason:
            self.reasons[title] = str(reason)
            return
        kept = self.figures.setdefault(title, {})
        for name, value in answer.items():
            if value is not None:
                kept.setdefault(f"{measure} {name}", []).append(value)

    def end(self) -> None:
        if self.process is not None:
            assert self.process.stdin is not None
            self.process.stdin.close()
            self.process.wait(30)


def measure(rivals: list[Process], rounds: int, seconds: float) -> None:
    """All rounds, the rivals taking turns."""
    everything = [(rival, title) for rival in rivals for title in rival.variants]
    for B in SIZES:
        for turn in range(rounds):
            for rival, title in everything:
                rival.note(title, f"{B}", "measure", B=B, seconds=seconds)
            print(f"B = {B}: round {turn + 1} of {rounds}, load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)
        for rival, title in everything:
            rival.note(title, "closed", "close", B=B)
    for _ in range(rounds):
        for rival, title in everything:
            rival.note(title, "start", "start", B=SIZES[0])
            rival.note(title, "resume", "resume", B=SIZES[0])


def median(figures: dict[str, list[float]], name: str) -> float | None:
    found = figures.get(name)
    return statistics.median(found) if found else None


def rows(rivals: list[Process]) -> list[dict[str, Any]]:
    """The table as data: M tokens per CPU-second and second, share of the bound of its dtype, seconds."""
    out: list[dict[str, Any]] = []
    bounds: dict[tuple[str, int], float] = {}
    for rival in rivals:
        for title, variant in rival.variants.items():
            figures = rival.figures.get(title, {})
            row: dict[str, Any] = {"rival": title, "produces": variant.produces, "reason": rival.reasons.get(title)}
            for B in SIZES:
                for kind in ("cpu", "wall"):
                    taken = median(figures, f"{B} {kind}")
                    row[f"{B} {kind}"] = None if taken is None else 1e-6 / taken
                if variant.limit and row[f"{B} cpu"]:
                    bounds[variant.limit, B] = row[f"{B} cpu"]
                bound = bounds.get(("uint16" if "targets uint16" in variant.produces else "int64", B))
                row[f"{B} share"] = row[f"{B} cpu"] / bound if bound and row[f"{B} cpu"] else None
            row["start"], row["resume"] = median(figures, "start seconds"), median(figures, "resume seconds")
            out.append(row)
    return out


def show(table: list[dict[str, Any]]) -> str:
    """The table in Markdown."""
    columns = [name.format(B=B) for B in SIZES for name in ("M tokens/CPU-s, B={B}", "of bound", "M tokens/s, B={B}")]
    columns += ["start s", "resume at 90 % s", "per token"]
    lines = [f"| | {' | '.join(columns)} |", "|---|" + "--:|" * (len(columns) - 1) + "---|"]
    for row in table:
        cells: list[str] = []
        for B in SIZES:
            share = row[f"{B} share"]
            cells += [_figure(row[f"{B} cpu"]), "–" if share is None else f"{share:.1%}", _figure(row[f"{B} wall"])]
        for name in ("start", "resume"):
            cells.append("none" if row[name] is None else f"{row[name]:.3f}")
        last = f"not measured: {row['reason']}" if row["reason"] else row["produces"]
        lines.append(f"| {row['rival']} | {' | '.join(cells)} | {last} |")
    return "\n".join(lines)


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def main(arguments: Sequence[str] = ()) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rivals", description=__doc__)
    parser.add_argument("--tokens", type=int, default=100_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.6, help="seconds of batches per variant and round")
    parser.add_argument("--only", nargs="*", choices=MODULES, default=MODULES)
    parser.add_argument("--json", type=Path, help="write the table here, too")
    options = parser.parse_args(list(arguments))
    corpus = write_corpus(CORPORA / f"rivals-{options.tokens}", options.tokens)
    rivals = [Process(module=name, log=corpus.directory / f"{name}.log") for name in options.only]
    before = os.getloadavg()[0]
    try:
        for rival in rivals:
            rival.begin(corpus)
        measure(rivals, options.rounds, options.seconds)
    finally:
        for rival in rivals:
            rival.end()
    table = rows(rivals)
    if options.json:
        options.json.write_text(json.dumps(table, indent=2))
    print(
        f"T = {T:,}; {len(corpus.tokens):,} tokens in {len(corpus.ends):,} documents, all in the page cache; a token "
        f"is one (input, target) slot; medians of {options.rounds} interleaved rounds; load {before:.1f} before, "
        f"{os.getloadavg()[0]:.1f} after, {os.cpu_count()} cores\n"
    )
    print(show(table))


if __name__ == "__main__":
    main(sys.argv[1:])
