"""The picture of a corpus: how long its documents are, which languages they are in, where those that are missing went.

Guarantee: the same store, the same bytes. Price: matplotlib, ~1 s; no window is opened (Agg).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from batchwright.workflows.figure_file import write_figure
from batchwright.workflows.plots import COLOURS

FEWEST_BARS, MOST_BARS = 5, 10  # room for so many at least, so that few are not broad


def plot_corpus(facts: Mapping[str, Any], path: Path) -> None:
    """`facts` as `workflows.corpus` gathers them."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, (lengths, languages, fates) = pyplot.subplots(
        1, 3, figsize=(13, 4.2), width_ratios=(1.4, 1, 1.2), layout="constrained"
    )
    _draw_lengths(lengths, facts)
    _draw_languages(languages, facts)
    _draw_fates(fates, facts["tally"])
    for axes in (lengths, languages, fates):
        axes.spines[["top", "right"]].set_visible(False)
    write_figure(figure, path)


def _draw_lengths(axes: Any, facts: Mapping[str, Any]) -> None:
    bins = facts["lengths"]["bins"]
    places = np.array([np.log2(each["first"]) for each in bins])
    for shift, key, total, colour in (
        (-0.2, "documents", facts["documents"], COLOURS[0]),
        (0.2, "tokens", facts["tokens"], COLOURS[1]),
    ):
        shares = [100 * each[key] / total for each in bins]
        axes.bar(places + 0.5 + shift, shares, width=0.4, color=colour, label=f"of the {key}")
    ticks = np.arange(places[0], places[-1] + 2)
    # A label per doubling is too many where lengths reach from 1 to 10⁶.
    step = -(-len(ticks) // 8)
    axes.set_xticks(ticks[::step], [_short(2 ** int(tick)) for tick in ticks[::step]])
    axes.set_xlabel("tokens in the document")
    axes.set_ylabel("share (%)")
    axes.set_title(f"{facts['documents']:,} documents, {facts['tokens']:,} tokens", fontsize=10)
    axes.legend(fontsize=8, frameon=False)
    axes.grid(alpha=0.25, axis="y")


def _draw_languages(axes: Any, facts: Mapping[str, Any]) -> None:
    found = facts["languages"][:MOST_BARS]
    shares = np.array([100 * each["share"] for each in found])
    errors = np.array([[100 * (each["share"] - each["low"]), 100 * (each["high"] - each["share"])] for each in found]).T
    axes.barh(range(len(found)), shares, xerr=np.maximum(errors, 0), color=COLOURS[3], height=0.62, ecolor="#555555")
    axes.set_yticks(range(len(found)), [each["name"] for each in found])
    axes.set_ylim(max(len(found), FEWEST_BARS) - 0.5, -0.5)
    axes.set_xlim(0, 105)
    axes.set_xlabel("share of documents (%)")
    axes.set_title(f"language, guessed from {facts['sampled']:,}", fontsize=10)


def _draw_fates(axes: Any, tally: Mapping[str, Any]) -> None:
    """The largest reasons one by one, the others together."""
    read = tally["read"]["documents"] or 1
    dropped = sorted(((each["documents"], reason) for reason, each in tally["dropped"].items()), reverse=True)
    bars = [("kept", tally["kept"]["documents"]), *((reason, count) for count, reason in dropped[:MOST_BARS])]
    if rest := dropped[MOST_BARS:]:
        bars.append((f"{len(rest)} other reasons", sum(count for count, _ in rest)))
    shares = [100 * count / read for _, count in bars]
    colours = [COLOURS[0], *[COLOURS[2]] * (len(bars) - 1)]
    axes.barh(range(len(bars)), shares, color=colours, height=0.62)
    for place, ((_, count), share) in enumerate(zip(bars, shares, strict=True)):
        axes.text(share + 1, place, f"{count:,}", va="center", fontsize=8)
    axes.set_yticks(range(len(bars)), [name for name, _ in bars], fontsize=8)
    axes.set_ylim(max(len(bars), FEWEST_BARS) - 0.5, -0.5)
    axes.set_xlim(0, 118)
    axes.set_xlabel("share of documents read (%)")
    axes.set_title(f"{tally['read']['documents']:,} documents read", fontsize=10)


def _short(count: int) -> str:
    for size, unit in ((2**20, "Mi"), (2**10, "Ki")):
        if count >= size:
            return f"{count // size}{unit}"
    return str(count)
