"""Too small, too large: what a sweep over batch sizes has shown. The verdict's fields choose the sentences."""

from collections.abc import Mapping
from typing import Any

from batchwright.workflows.section import Block, Grid, Section
from batchwright.workflows.strings import Say

SAME_SPREAD = 1.25  # two spreads closer than this factor are called alike

Json = Mapping[str, Any]


def tell_sweep(result: Json, say: Say) -> Section:
    """`result` as `workflows.sweep` makes it."""
    verdict = result["verdict"]
    cells = verdict["cells"]
    small, large = cells[0], cells[-1]
    reference = next(cell for cell in cells if cell["global_batch_size"] == result["reference_batch_size"])
    blocks: list[Block] = [
        say(
            "sweep.intro",
            tokens=f"{result['tokens']:,}",
            seeds=len(result["seeds"]),
            reference=reference["global_batch_size"],
            rate=f"{reference['learning_rate']:.2g}",
            rule=say(f"rule.{result['rule']}"),
        ),
        _table(result, reference, say),
        _best(verdict, say),
    ]
    if small is not reference:
        blocks += _one_side("small", "smaller", verdict, _of_size(cells, small), reference, say)
    if large is not reference:
        blocks += _one_side("large", "larger", verdict, _of_size(cells, large), reference, say)
    blocks += [
        say(
            "sweep.steps",
            small=small["global_batch_size"],
            small_steps=f"{small['steps']:,}",
            large=large["global_batch_size"],
            large_steps=f"{large['steps']:,}",
            ratio=f"{small['steps'] / large['steps']:,.0f}",
        ),
        *_instability(cells, small, large, say),
    ]
    return Section(title=say("sweep.title"), blocks=tuple(blocks))


def _of_size(cells: list[Json], cell: Json) -> Json:
    """The unadjusted cell of the same batch size: what the verdict compares with the reference."""
    return next(c for c in cells if c["global_batch_size"] == cell["global_batch_size"] and not c["adjusted"])


def _table(result: Json, reference: Json, say: Say) -> Grid:
    names = ("batch", "tokens_per_step", "steps_taken", "rate", "loss", "difference", "spread", "spikes")
    base = reference["validation_loss"]
    return Grid(
        header=tuple(say(f"sweep.{name}") for name in names),
        rows=tuple(
            (
                f"{cell['global_batch_size']}" + (say("sweep.mark.adjusted") if cell["adjusted"] else ""),
                f"{cell['global_batch_size'] * result['sequence_length']:,}",
                f"{cell['steps']:,}",
                f"{cell['learning_rate']:.2g}",
                _number(cell["validation_loss"], ".3f", say),
                "" if None in (cell["validation_loss"], base) else f"{cell['validation_loss'] - base:+.3f}",
                _number(cell["step_spread"], ".3f", say),
                f"{cell['spikes']:g}",
            )
            for cell in result["verdict"]["cells"]
        ),
    )


def _best(verdict: Json, say: Say) -> str:
    best = verdict["best"]
    values = {
        "batch": best["global_batch_size"],
        "rate": f"{best['learning_rate']:.2g}",
        "loss": f"{best['validation_loss']:.3f}",
        "margin": "?" if verdict["margin"] is None else f"{verdict['margin']:.3f}",
    }
    return say("sweep.best.clear" if verdict["best_beats_other_sizes"] else "sweep.best.unclear", **values)


def _one_side(name: str, field: str, verdict: Json, cell: Json, reference: Json, say: Say) -> list[Block]:
    """A batch at one end against the reference, and what adjusting its learning rate did."""
    against = verdict[f"{field}_against_reference"]
    adjusting = verdict[f"adjusting_{field}"]
    values = {
        "batch": cell["global_batch_size"],
        "reference": reference["global_batch_size"],
        "steps": f"{cell['steps']:,}",
        "reference_steps": f"{reference['steps']:,}",
    }
    blocks: list[Block] = []
    if against is not None:
        verb = {"a": "better", "b": "worse", None: "same"}[against["better"]]
        blocks.append(say(f"sweep.{name}.{verb}", **values, **_nats(against)))
    if adjusting is not None:
        verb = {"a": "helps", "b": "hurts", None: "same"}[adjusting["better"]]
        blocks.append(say(f"sweep.adjusting.{verb}", batch=values["batch"], **_nats(adjusting)))
    return blocks


def _nats(difference: Json) -> dict[str, str]:
    nats, margin = difference["nats"], difference["margin"]
    return {
        "nats": "∞" if nats is None else f"{abs(nats):.3f}",
        "margin": "?" if margin is None else f"{margin:.3f}",
    }


def _instability(cells: list[Json], small: Json, large: Json, say: Say) -> list[Block]:
    first, last = _of_size(cells, small)["step_spread"], _of_size(cells, large)["step_spread"]
    blocks: list[Block] = []
    if first and last:
        key = "small" if first > last * SAME_SPREAD else "large" if last > first * SAME_SPREAD else "alike"
        blocks.append(
            say(
                f"sweep.spread.{key}",
                small=small["global_batch_size"],
                small_spread=f"{first:.3f}",
                large=large["global_batch_size"],
                large_spread=f"{last:.3f}",
                ratio=f"{max(first, last) / min(first, last):.1f}",
            )
        )
    spiky = [cell for cell in cells if cell["spikes"] > 0]
    diverged = [cell for cell in cells if cell["diverged"]]
    blocks.append(say("sweep.spikes.some", cells=_names(spiky, say)) if spiky else say("sweep.spikes.none"))
    if diverged:
        blocks.append(say("sweep.diverged", cells=_names(diverged, say)))
    return blocks


def _names(cells: list[Json], say: Say) -> str:
    return say("sweep.and").join(_name(cell, say) for cell in cells)


def _name(cell: Json, say: Say) -> str:
    return f"B = {cell['global_batch_size']}" + (say("sweep.mark.adjusted") if cell["adjusted"] else "")


def _number(value: float | None, form: str, say: Say) -> str:
    return say("sweep.none") if value is None else format(value, form)
