"""Figures. The demo's one: the same training seen twice, against tokens (what it costs) and against steps (how long it
takes).

Price: matplotlib, ~1 s; no window is opened (Agg).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from batchwright.workflows.figure_file import write_figure

COLOURS = ("#0072b2", "#e69f00", "#d55e00", "#009e73", "#cc79a7", "#56b4e9")  # Okabe & Ito: told apart by everyone
STREAM_COLOURS = ("#000000", "#cc79a7", "#009e73")  # not those of the bars, which mean something else
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
    write_figure(figure, path)


def _mean_curve(runs: Sequence[Json]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(tokens, loss): mean over seeds of the mean loss in equal windows of tokens."""
    curves = [_windowed(np.asarray(run["losses"], dtype=np.float64)) for run in runs]
    count = min(len(curve) for curve in curves)
    steps = min(len(run["losses"]) for run in runs)
    middles = (np.arange(count) + 0.5) * steps / count * runs[0]["tokens_per_step"]
    return middles, np.mean([curve[:count] for curve in curves], axis=0)


def _windowed(losses: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([part.mean() for part in np.array_split(losses, min(WINDOWS, len(losses)))])


def plot_coverage(result: Json, path: Path) -> None:
    """`result` as `workflows.coverage` makes it: where tokens and documents go by packing, and what is dropped along
    the stream of documents."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    packings = result["packings"]
    names = [str(each["packing"]["policy"]) for each in packings]
    height = 1.6 + 0.55 * len(names)
    figure, (tokens, documents, along) = pyplot.subplots(
        1, 3, figsize=(13, max(3.2, height)), width_ratios=(1, 1, 1.1), layout="constrained"
    )
    totals = [each["total"] for each in packings]
    stored = np.array([total["stored"] for total in totals], np.float64)
    orphans = np.array([total["targets_without_start"] for total in totals], np.float64)
    dropped = np.array([sum(total["dropped"].values()) for total in totals], np.float64)
    masked = np.array([total["masked"] for total in totals], np.float64)
    parts = {
        "with their start": stored - orphans - dropped - masked,
        "without their start": orphans,
        "dropped": dropped,
        **({"masked": masked} if masked.any() else {}),
    }
    _stack(tokens, names, parts, stored)
    tokens.set_title("stored tokens")
    count = np.array([total["documents"] for total in totals], np.float64)
    cut = np.array([total["documents_cut"] for total in totals], np.float64)
    needless = np.array([total["documents_cut_needlessly"] for total in totals], np.float64)
    _stack(documents, names, {"whole": count - cut, "longer than T": cut - needless, "cut needlessly": needless}, count)
    documents.set_yticklabels([])
    documents.set_title("documents")
    dropping = [each for each in packings if sum(each["total"]["dropped"].values())]
    for each, colour in zip(dropping, STREAM_COLOURS, strict=False):
        _draw_stretches(along, each, colour)
    if silent := [name for name, each in zip(names, packings, strict=True) if each not in dropping]:
        along.axhline(0, color="#999999", label=", ".join(silent), linewidth=1.8, clip_on=False)
    along.set_xlabel("documents packed")
    along.set_ylabel("share of tokens dropped there (%)")
    along.set_title("along the stream")
    along.legend(fontsize=8, frameon=False, loc="upper left")
    along.margins(y=0.2)
    along.set_ylim(bottom=0)
    along.grid(alpha=0.25)
    for axes in (tokens, documents, along):
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"T = {result['sequence_length']:,}")
    write_figure(figure, path)


def _stack(axes: Any, names: Sequence[str], parts: Mapping[str, NDArray[np.float64]], whole: Any) -> None:
    """One bar per name, cut into its parts, in per cent of the whole."""
    places, left = np.arange(len(names)), np.zeros(len(names))
    for (label, part), colour in zip(parts.items(), COLOURS, strict=False):
        percent = 100 * part / whole
        axes.barh(places, percent, left=left, color=colour, label=label, height=0.62)
        for place, begin, width in zip(places, left, percent, strict=True):
            if width >= 6:
                axes.text(begin + width / 2, place, f"{width:.1f}", ha="center", va="center", color="white", fontsize=8)
        left += percent
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("%")
    axes.legend(fontsize=8, frameon=False, ncols=len(parts), loc="upper center", bbox_to_anchor=(0.5, -0.18))


def _draw_stretches(axes: Any, each: Json, colour: str) -> None:
    """All sources' stretches laid on one axis of documents, one after another."""
    ends, shares, before = [0.0], list[float](), 0
    for source in each["sources"]:
        for stretch in source["stretches"]:
            ends.append(before + stretch["documents"])
            shares.append(100 * stretch["dropped"] / stretch["stored"] if stretch["stored"] else 0.0)
        before += source["stretches"][-1]["documents"]
    axes.stairs(shares, ends, baseline=None, color=colour, label=each["packing"]["policy"], linewidth=1.8)
