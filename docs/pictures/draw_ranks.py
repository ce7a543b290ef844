"""Train one recipe on one process, on 2 DDP and 2 FSDP ranks, and on ranks that are killed and go on as others; draw
the curves on each other and print how far apart they are.

    python docs/pictures/draw_ranks.py STORE docs/pictures/ranks.svg [DIRECTORY]

STORE is the demo's (recipes/demo.toml says how to make it). Runs that stand in DIRECTORY already are gone on with.
"""

import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from batchwright.training.run_log import read_log

RECIPE = Path(__file__).parents[2] / "recipes" / "demo.toml"
TOKENS = 1_000_000
STEPS_TOGETHER = 10  # the largest difference of so many steps is drawn
# As torchrun starts them: (ranks, form, killed after so many steps; None: to the end).
RUNS: dict[str, list[tuple[int, str, int | None]]] = {
    "1 process": [(1, "ddp", None)],
    "2 ranks, DDP": [(2, "ddp", None)],
    "2 ranks, FSDP": [(2, "fsdp", None)],
    "3 ranks, DDP": [(3, "ddp", None)],
    "killed: 2 FSDP, then 3 DDP, then 1": [(2, "fsdp", 90), (3, "ddp", 170), (1, "ddp", None)],
}
COLOURS = ("#333333", "#1f77b4", "#d62728", "#2ca02c", "#9467bd")
STYLES = ("-", "--", ":", "-.", (0, (1, 1)))


def train(store: Path, run: Path, ranks: int, form: str, killed_after: int | None) -> None:
    """One call of the command; SIGKILL to all of its processes once the log has `killed_after` steps."""
    training = {"tokens": TOKENS, "checkpoint_every_tokens": TOKENS // 5, "parallel": form, "threads": 1}
    settings = [f"data.store={store}", *(f"training.{name}={value}" for name, value in training.items())]
    command = [sys.executable, "-m"]
    command += ["torch.distributed.run", "--nproc-per-node", str(ranks), "-m"] if ranks > 1 else []
    command += ["batchwright", "train", str(RECIPE), "--out", str(run)]
    command += [word for setting in settings for word in ("--set", setting)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
        while killed_after is not None and steps_of(run)[-1:] < [killed_after]:
            if process.poll() is not None:
                raise SystemExit(f"it ended by itself, with {process.returncode}")
            time.sleep(0.05)
        if killed_after is not None:
            # torchrun and every rank, as a power cut would; torchrun first, or it would report the ranks' deaths.
            launcher = psutil.Process(process.pid)
            for victim in (launcher, *launcher.children(recursive=True)):
                victim.kill()
    if killed_after is None and process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")


def steps_of(run: Path) -> list[int]:
    return [record["step"] for record in records_of(run, "step")]


def records_of(run: Path, kind: str) -> list[dict[str, Any]]:
    log = run / "metrics.jsonl"
    return [record for record in read_log(log) if record["kind"] == kind] if log.exists() else []


def column(run: Path, name: str, kind: str = "step") -> "np.ndarray[Any, Any]":
    return np.array([record[name] for record in records_of(run, kind)])


def draw(runs: Sequence[tuple[str, Path]], out: Path) -> None:
    """The curves above, their distances from the first one below."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "ranks"  # the same curves, the same bytes
    from matplotlib import pyplot, ticker

    figure, (above, below) = pyplot.subplots(
        2, 1, figsize=(8.6, 6.4), sharex=True, height_ratios=(2, 1.2), layout="constrained"
    )
    tokens, reference = column(runs[0][1], "tokens"), column(runs[0][1], "loss")
    for (name, run), colour, style in zip(runs, COLOURS, itertools.cycle(STYLES), strict=False):
        loss = column(run, "loss")
        above.plot(tokens, loss, color=colour, linestyle=style, linewidth=1.4, label=name)
        if run != runs[0][1]:
            apart = np.abs(loss - reference) / reference
            largest = [apart[max(0, last - STEPS_TOGETHER) : last].max() for last in range(1, len(apart) + 1)]
            below.plot(tokens, np.maximum(largest, 1e-9), color=colour, linestyle=style, linewidth=1.4, label=name)
    for number, (_, _, killed_after) in enumerate(RUNS[runs[-1][0]][:-1]):
        assert killed_after is not None
        label = "killed, gone on with other ranks" if number == 0 else None
        for axes in (above, below):
            axes.axvline(tokens[killed_after - 1], color="#999999", linewidth=0.9, linestyle="--", label=label)
    above.set_ylabel("loss (nats per token)")
    above.legend(fontsize=8, frameon=False)
    below.set_ylabel("|difference| ÷ loss of 1 process,\nlargest of 10 steps")
    below.set_yscale("log")
    below.set_xlabel("tokens seen (slots)")
    below.xaxis.set_major_formatter(ticker.EngFormatter())
    for axes in (above, below):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(out, metadata={"Date": None})
    pyplot.close(figure)


def main(store: Path, out: Path, directory: Path) -> None:
    runs = [(name, directory / f"run-{number}") for number, name in enumerate(RUNS)]
    for name, run in runs:
        for ranks, form, killed_after in RUNS[name]:
            done = steps_of(run)[-1:] or [0]
            if killed_after is None or done[0] < killed_after:
                train(store.resolve(), run, ranks, form, killed_after)
    first = runs[0][1]
    print("| run | steps | same data in every step | held-out loss | loss of a step differs by (largest, median) |")
    print("|---|---|---|---|---|")
    for name, run in runs:
        apart = np.abs(column(run, "loss") - column(first, "loss")) / column(first, "loss")
        same = (column(run, "certificate") == column(first, "certificate")).all()
        held_out = column(run, "loss", "evaluation")[-1]
        print(
            f"| {name} | {len(apart)} | {'yes' if same else 'NO'} | {held_out:.6f} | {apart.max():.1e}, "
            f"{np.median(apart):.1e} |"
        )
    draw(runs, out)


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        raise SystemExit(__doc__)
    with tempfile.TemporaryDirectory() as place:
        main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3] if len(sys.argv) > 3 else place))
