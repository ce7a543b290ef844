"""The picture of a run: loss on training and held-out text over tokens, gradient norms beneath, spikes marked.

Guarantee: the same log, the same bytes. Price: matplotlib, ~1 s; no window is opened (Agg).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from batchwright.workflows.figure_file import write_figure
from batchwright.workflows.plots import COLOURS

WINDOWS = 60  # means of so many equal stretches of steps are drawn over the single steps
MOST_POINTS = 4000

Json = Mapping[str, Any]


def plot_run(
    steps: Sequence[Json], evaluations: Sequence[Json], spikes: Sequence[Json], path: Path, *, clip_norm: float | None
) -> None:
    """`steps`, `evaluations` and `spikes` as the log has them; at least one step."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot, ticker

    figure, (loss, norm) = pyplot.subplots(
        2, 1, figsize=(8.6, 6.0), sharex=True, height_ratios=(2.4, 1), layout="constrained"
    )
    tokens = np.array([step["tokens"] for step in steps], np.float64)
    _draw_curve(loss, tokens, np.array([step["loss"] for step in steps]), "training", COLOURS[0])
    _draw_curve(norm, tokens, np.array([step["gradient_norm"] for step in steps]), None, COLOURS[0])
    if evaluations:
        at, losses = zip(*((each["tokens"], each["loss"]) for each in evaluations), strict=True)
        loss.plot(at, losses, "o-", color=COLOURS[1], label="held-out documents", linewidth=1.4, markersize=4)
    _mark_spikes(loss, norm, spikes)
    if clip_norm is not None:
        norm.axhline(clip_norm, color="#999999", linewidth=1.0, linestyle="--", label=f"clipped to {clip_norm:g}")
        norm.legend(fontsize=8, frameon=False)
    loss.set_ylabel("loss (nats per token)")
    loss.legend(fontsize=8, frameon=False)
    norm.set_ylabel("gradient norm")
    norm.set_yscale("log")
    norm.set_xlabel("tokens seen (slots)")
    norm.xaxis.set_major_formatter(ticker.EngFormatter())
    for formatted in (norm.yaxis.set_major_formatter, norm.yaxis.set_minor_formatter):
        formatted(ticker.FormatStrFormatter("%.2g"))
    norm.tick_params(axis="y", which="minor", labelsize=7)
    for axes in (loss, norm):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    write_figure(figure, path)


def _draw_curve(
    axes: Any, tokens: NDArray[np.float64], values: NDArray[np.float64], label: str | None, colour: str
) -> None:
    """Single steps faintly, their means over them."""
    stride = -(-len(tokens) // MOST_POINTS)
    axes.plot(tokens[::stride], values[::stride], color=colour, alpha=0.3, linewidth=0.8)
    parts = min(WINDOWS, len(tokens))
    means = [[part.mean() for part in np.array_split(array, parts)] for array in (tokens, values)]
    axes.plot(*means, color=colour, label=label, linewidth=1.6)


def _mark_spikes(loss: Any, norm: Any, spikes: Sequence[Json]) -> None:
    if not spikes:
        return
    at = [spike["tokens"] for spike in spikes]
    loss.plot(at, [spike["loss"] for spike in spikes], "v", color=COLOURS[2], label="spike", markersize=6)
    norm.plot(at, [spike["gradient_norm"] for spike in spikes], "v", color=COLOURS[2], markersize=6)
