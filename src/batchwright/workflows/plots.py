"""The demo's one figure: the same training seen twice, against tokens (what it costs) and against steps (how long it
takes).

Price: matplotlib, ~1 s; no window is opened (Agg).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

COLOURS = ("#0072b2", "#e69f00", "#d55e00", "#009e73", "#cc79a7", "#56b4e9")  # Okabe & Ito: told apart by everyone
WINDOWS = 40  # every curve is averaged over the same windows of tokens, so that small batches are not just noisier

Json = Mapping[str, Any]


def plot_sweep(runs: Sequence[Json], path: Path) -> None:
    """`runs`: {global_batch_size, tokens_per_step, adjusted, seed, losses}; one colour per batch size."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    sizes = sorted({int(run["global_batch_size"]) for run in runs})
    figure, (by_tokens, by_steps) = pyplot.subplots(1, 2, figsize=(11, 4.4), sharey=True, layout="constrained")
    for size, colour in zip(sizes, COLOURS, strict=False):
        of_size = [run for run in runs if run["global_batch_size"] == size]
        for adjusted in sorted({bool(run["adjusted"]) for run in of_size}):
            chosen = [run for run in of_size if bool(run["adjusted"]) == adjusted]
            tokens, losses = _mean_curve(chosen)
            rate = chosen[0]["learning_rate"]
            label = f"B = {size}, learning rate {rate:.2g}{' (adjusted)' if adjusted else ''}"
            style = "--" if adjusted else "-"
            by_tokens.plot(tokens, losses, style, color=colour, label=label, linewidth=1.6)
            by_steps.plot(tokens / chosen[0]["tokens_per_step"], losses, style, color=colour, linewidth=1.6)
    by_tokens.set_xlabel("tokens seen")
    by_tokens.set_ylabel("training loss (nats per token)")
    by_tokens.set_title("against tokens: what it costs")
    by_steps.set_xlabel("steps taken (logarithmic)")
    by_steps.set_xscale("log")
    by_steps.set_title("against steps: how long it takes")
    by_tokens.legend(fontsize=8, frameon=False)
    for axes in (by_tokens, by_steps):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130, metadata={"Software": None})  # the same data, the same bytes
    pyplot.close(figure)


def _mean_curve(runs: Sequence[Json]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(tokens, loss): mean over seeds of the mean loss in equal windows of tokens."""
    curves = [_windowed(np.asarray(run["losses"], dtype=np.float64)) for run in runs]
    count = min(len(curve) for curve in curves)
    steps = min(len(run["losses"]) for run in runs)
    middles = (np.arange(count) + 0.5) * steps / count * runs[0]["tokens_per_step"]
    return middles, np.mean([curve[:count] for curve in curves], axis=0)


def _windowed(losses: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([part.mean() for part in np.array_split(losses, min(WINDOWS, len(losses)))])
