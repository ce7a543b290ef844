"""What a sweep has shown, as data: which batch was best at equal tokens, and whether any difference is larger than
chance.

Guarantee: every field is computed from the outcomes; the opposite outcomes give the opposite verdict, and outcomes too
close to tell give `None` for the winner. Nothing here is a sentence: those are chosen from these fields, above.

How chance is judged: all runs of one seed share their fresh weights, so a cell (batch size, adjusted) and a seed
contribute separately, loss = cell + seed + noise. The noise is what remains when both are taken out; its variance s²
is pooled over all cells, with (cells − 1)·(seeds − 1) degrees of freedom. Two cell means differ *resolvably* when |Δ|
> t·s·√(2/seeds) at 95 %. Assumed: equal variance in all cells; no correction for the number of comparisons. With one
seed nothing is resolved.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from batchwright.foundation.errors import InputError
from batchwright.measuring.batch_sweep import RunOutcome
from batchwright.measuring.intervals import student_t_quantile


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """All seeds of one batch size with one setting of the learning rate."""

    global_batch_size: int
    adjusted: bool
    learning_rate: float
    validation_loss: float | None
    """Mean over seeds at the end; None when a seed diverged."""
    seeds: int
    diverged: int
    steps: int
    wall_seconds: float
    cpu_seconds: float
    step_spread: float | None
    scaled_spread: float | None
    """step_spread · √(batch / reference batch). Sampling alone makes it the same at every batch size: what exceeds the
    reference's is restlessness of the training itself."""
    spikes: float
    """Mean per run."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """Cell a against cell b; negative: a is better."""

    nats: float | None
    """mean(a) − mean(b); None when one of them diverged."""
    margin: float | None
    """What chance alone reaches in 5 % of the cases; None with one seed."""
    better: Literal["a", "b"] | None
    """None: not resolved."""


@dataclass(frozen=True, kw_only=True)
class SweepVerdict:
    """The sizes are `small` < `middle` (the reference) < `large`, as far as they were run."""

    cells: tuple[Cell, ...]
    best: Cell
    best_beats_other_sizes: bool
    """Whether the best cell is resolvably better than every cell of every other batch size."""
    noise: float | None
    """s, the spread that the seed leaves, in nats."""
    margin: float | None
    smaller_against_reference: Difference | None
    """The smallest batch, not adjusted, against the reference."""
    larger_against_reference: Difference | None
    adjusting_smaller: Difference | None
    """The smallest batch adjusted against itself not adjusted: better "a" means that adjusting helped."""
    adjusting_larger: Difference | None

    def cell(self, global_batch_size: int, *, adjusted: bool) -> Cell:
        """Raises InputError when it was not run."""
        for cell in self.cells:
            if (cell.global_batch_size, cell.adjusted) == (global_batch_size, adjusted):
                return cell
        raise InputError(f"no run had a batch of {global_batch_size}, {'adjusted' if adjusted else 'not adjusted'}")


def verdict_of(outcomes: Sequence[RunOutcome], *, reference_batch_size: int, confidence: float = 0.95) -> SweepVerdict:
    """Judges a finished sweep. Raises InputError when every run diverged or the reference was not run."""
    groups: dict[tuple[int, bool], list[RunOutcome]] = {}
    for outcome in outcomes:
        groups.setdefault((outcome.global_batch_size, outcome.adjusted), []).append(outcome)
    cells = {name: _cell(runs, reference_batch_size) for name, runs in sorted(groups.items())}
    finished = [cell for cell in cells.values() if cell.validation_loss is not None]
    if not finished:
        raise InputError("every run of the sweep diverged", remedy="a lower learning rate or a longer warm-up")
    if (reference_batch_size, False) not in cells:
        raise InputError(f"the reference batch of {reference_batch_size} sequences was not among the runs")
    noise, freedom = _noise(groups)
    seeds = min(cell.seeds for cell in cells.values())
    margin = None
    if noise is not None:
        margin = student_t_quantile(0.5 + confidence / 2, freedom) * noise * math.sqrt(2 / seeds)

    def against(a: tuple[int, bool], b: tuple[int, bool]) -> Difference | None:
        return _difference(cells[a], cells[b], margin) if a in cells and b in cells and a != b else None

    best = min(finished, key=_loss_of)
    sizes = sorted({size for size, _ in cells})
    smallest, largest = sizes[0], sizes[-1]
    reference = (reference_batch_size, False)
    return SweepVerdict(
        cells=tuple(cells.values()),
        best=best,
        best_beats_other_sizes=all(
            _difference(best, cell, margin).better == "a"
            for cell in cells.values()
            if cell.global_batch_size != best.global_batch_size
        ),
        noise=noise,
        margin=margin,
        smaller_against_reference=against((smallest, False), reference),
        larger_against_reference=against((largest, False), reference),
        adjusting_smaller=against((smallest, True), (smallest, False)),
        adjusting_larger=against((largest, True), (largest, False)),
    )


def _cell(runs: Sequence[RunOutcome], reference_batch_size: int) -> Cell:
    losses = [run.validation_loss for run in runs if run.validation_loss is not None]
    spreads = [run.stability.step_spread for run in runs if run.stability.step_spread is not None]
    spread = float(np.mean(spreads)) if spreads else None
    size = runs[0].global_batch_size
    return Cell(
        global_batch_size=size,
        adjusted=runs[0].adjusted,
        learning_rate=runs[0].learning_rate,
        validation_loss=float(np.mean(losses)) if len(losses) == len(runs) else None,
        seeds=len(runs),
        diverged=len(runs) - len(losses),
        steps=max(run.steps for run in runs),
        wall_seconds=float(np.mean([run.wall_seconds for run in runs])),
        cpu_seconds=float(np.mean([run.cpu_seconds for run in runs])),
        step_spread=spread,
        scaled_spread=None if spread is None else spread * math.sqrt(size / reference_batch_size),
        spikes=float(np.mean([run.stability.spikes for run in runs])),
    )


def _loss_of(cell: Cell) -> float:
    return math.inf if cell.validation_loss is None else cell.validation_loss


def _difference(a: Cell, b: Cell, margin: float | None) -> Difference:
    """A run that diverged loses to one that did not, without statistics."""
    if a.validation_loss is None or b.validation_loss is None:
        if (a.validation_loss is None) == (b.validation_loss is None):
            return Difference(nats=None, margin=margin, better=None)
        return Difference(nats=None, margin=margin, better="b" if a.validation_loss is None else "a")
    nats = a.validation_loss - b.validation_loss
    if margin is None or abs(nats) <= margin:
        return Difference(nats=nats, margin=margin, better=None)
    return Difference(nats=nats, margin=margin, better="a" if nats < 0 else "b")


def _noise(groups: dict[tuple[int, bool], list[RunOutcome]]) -> tuple[float | None, int]:
    """(s, degrees of freedom) of what cell and seed leave unexplained, over cells in which every seed finished."""
    seeds = sorted({run.seed for runs in groups.values() for run in runs})
    table = [
        [run.validation_loss for run in sorted(runs, key=lambda run: run.seed)]
        for runs in groups.values()
        if [run.seed for run in sorted(runs, key=lambda run: run.seed)] == seeds
        and all(run.validation_loss is not None for run in runs)
    ]
    freedom = (len(table) - 1) * (len(seeds) - 1)
    if freedom < 1:
        return None, 0
    losses = np.array(table, dtype=np.float64)
    residuals = losses - losses.mean(axis=1, keepdims=True) - losses.mean(axis=0, keepdims=True) + losses.mean()
    return math.sqrt(float((residuals**2).sum()) / freedom), freedom
