"""What the batch size does: compute, memory, gradient noise. Every sentence is chosen by comparing measured numbers."""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from batchwright.foundation.units import MiB, format_bytes
from batchwright.workflows.section import Block, Grid, Section
from batchwright.workflows.strings import Say

SAME_SPEED = 0.05  # two speeds closer than this are the same on a machine that does other things too
PROPORTIONAL = 0.9  # peak ∝ B^0.9 or steeper counts as proportional to B
PARTS = ("weights", "gradients", "optimizer", "activations", "logits_and_loss", "attention_mask", "batch")

Json = Mapping[str, Any]


def tell_throughput(result: Json, say: Say) -> Section:
    """`result`: sequence_length, points of {micro_batch_size, tokens_per_second, lower_quartile, upper_quartile}."""
    points: Sequence[Json] = result["points"]
    smallest, largest = points[0], points[-1]
    best = max(points, key=lambda point: point["tokens_per_second"])
    names = ("micro_batch", "slots", "rate", "interval", "ratio")
    table = Grid(
        header=tuple(say(f"throughput.{name}") for name in names),
        rows=tuple(
            (
                f"{p['micro_batch_size']}",
                f"{p['micro_batch_size'] * result['sequence_length']:,}",
                f"{p['tokens_per_second']:,.0f}",
                f"{p['lower_quartile']:,.0f} – {p['upper_quartile']:,.0f}",
                f"{p['tokens_per_second'] / smallest['tokens_per_second']:.2f} ×",
            )
            for p in points
        ),
    )
    verdict = say(
        f"throughput.{_shape_of_curve(smallest, best, largest)}",
        best=best["micro_batch_size"],
        ratio=f"{best['tokens_per_second'] / smallest['tokens_per_second']:.2f}",
        smallest=smallest["micro_batch_size"],
        largest=largest["micro_batch_size"],
        share=f"{1 - largest['tokens_per_second'] / best['tokens_per_second']:.0%}",
    )
    blocks = (say("throughput.intro"), table, verdict, say("throughput.accelerator"))
    return Section(title=say("throughput.title"), blocks=blocks)


def _shape_of_curve(smallest: Json, best: Json, largest: Json) -> str:
    """Two speeds differ when they are apart by more than `SAME_SPEED` and their quartiles do not overlap."""

    def slower(one: Json, other: Json) -> bool:
        apart = one["tokens_per_second"] < other["tokens_per_second"] * (1 - SAME_SPEED)
        return apart and one["upper_quartile"] < other["lower_quartile"]

    if not slower(smallest, best):
        return "no_gain"
    if best is largest:
        return "rises"
    return "falls" if slower(largest, best) else "flat"


def tell_memory(result: Json, say: Say) -> Section:
    """Peak bytes by part as B, T and D vary; `result`: {base, by_rows, by_length, by_width, traced} of memory rows."""
    rows, lengths, widths = result["by_rows"], result["by_length"], result["by_width"]
    if not widths:
        return Section(title=say("memory.title"), blocks=tuple(_foreign_memory(rows, lengths, say)))
    blocks: list[Block] = [
        say("memory.intro"),
        _memory_grid([*rows, *lengths, *widths], say),
        _stream(rows[-1], say),
        _growth("memory.rows", rows, "B", say),
        _growth("memory.length", lengths, "T", say),
        _growth("memory.width", widths, "D", say),
        _where_proportion_ends(rows, say),
        _largest_part(rows, say),
        _closed_form([*rows, *lengths, *widths], say),
    ]
    return Section(title=say("memory.title"), blocks=tuple(blocks))


def _foreign_memory(rows: Sequence[Json], lengths: Sequence[Json], say: Say) -> Iterator[Block]:
    """What was traced, without a form beside it."""
    shapes = {(row["B"], row["T"]): row for row in (*rows, *lengths)}
    parts = [part for part in PARTS if any(row["parts"].get(part, 0) for row in shapes.values())]
    yield say("memory.foreign.intro")
    yield Grid(
        header=("B×T", *(say(f"memory.column.{part}") for part in parts), say("memory.column.measured")),
        rows=tuple(
            (f"{b}×{t}", *(_mib(row["parts"].get(part, 0)) for part in parts), _mib(row["traced_bytes"]))
            for (b, t), row in shapes.items()
        ),
    )
    for key, axis, along in (("memory.rows", "B", rows), ("memory.length", "T", lengths)):
        if len(along) > 1:
            yield _growth(key, along, axis, say)


def _memory_grid(rows: Sequence[Json], say: Say) -> Grid:
    """All in MiB; a shape that stands on two axes is shown once."""
    parts = [part for part in PARTS if any(row["parts"].get(part, 0) for row in rows)]
    shapes = {(row["B"], row["T"], row["D"]): row for row in rows}
    columns = ("stream", *(f"parts.{part}" for part in parts), "peak", "measured")
    return Grid(
        header=("B×T×D", *(say(f"memory.column.{name.removeprefix('parts.')}") for name in columns)),
        rows=tuple(
            (
                f"{b}×{t}×{d}",
                _mib(row["stream_bytes"]),
                *(_mib(row["parts"].get(part, 0)) for part in parts),
                _mib(row["peak_bytes"]),
                _mib(row["traced_bytes"]),
            )
            for (b, t, d), row in shapes.items()
        ),
    )


def _stream(row: Json, say: Say) -> str:
    """B × T × D on its own line."""
    return say(
        "memory.stream_line",
        rows=row["B"],
        length=row["T"],
        width=row["D"],
        item=row["stream_bytes"] // (row["B"] * row["T"] * row["D"]),
        size=format_bytes(row["stream_bytes"]),
        share=f"{row['stream_bytes'] / row['peak_bytes']:.1%}",
    )


def _mib(size: int) -> str:
    return f"{size / MiB:,.2f}"


def _growth(key: str, rows: Sequence[Json], axis: str, say: Say) -> str:
    """How much the peak grew over the whole range of one axis."""
    first, last = rows[0], rows[-1]
    return say(
        key,
        first=first[axis],
        last=last[axis],
        factor=f"{last[axis] / first[axis]:g}",
        growth=f"{last['traced_bytes'] / first['traced_bytes']:.1f}",
        activations=f"{_moving(last) / max(1, _moving(first)):.1f}",
        fixed=f"{_fixed(last) / max(1, _fixed(first)):.1f}",
    )


def _fixed(row: Json) -> int:
    return sum(row["parts"].get(part, 0) for part in ("weights", "gradients", "optimizer"))


def _moving(row: Json) -> int:
    return row["peak_bytes"] - _fixed(row)


def _where_proportion_ends(rows: Sequence[Json], say: Say) -> str:
    """Twice the batch is twice the memory only where what the batch needs outweighs what is there anyway."""
    pairs = list(pairwise(rows))
    proportional = [(one, other) for one, other in pairs if _exponent(one, other) >= PROPORTIONAL]
    first, second = rows[0], rows[1]
    values = {
        "fixed": format_bytes(_fixed(first)),
        "first": first["B"],
        "second": second["B"],
        "factor": f"{second['B'] / first['B']:g}",
        "growth": f"{second['traced_bytes'] / first['traced_bytes']:.1f}",
        "last": rows[-1]["B"],
    }
    if not proportional:
        return say("memory.ends.never", **values)
    if proportional[0] == pairs[0]:
        return say("memory.ends.always", **values)
    return say("memory.ends.at", **values, rows=proportional[0][0]["B"])


def _exponent(one: Json, other: Json) -> float:
    """p in peak ∝ B^p between two rows: 1 is proportional."""
    return math.log(other["traced_bytes"] / one["traced_bytes"]) / math.log(other["B"] / one["B"])


def _largest_part(rows: Sequence[Json], say: Say) -> str:
    last = rows[-1]
    part = max(PARTS, key=lambda name: last["parts"].get(name, 0))
    return say(
        "memory.largest",
        rows=last["B"],
        part=say(f"part.{part}"),
        share=f"{last['parts'][part] / last['peak_bytes']:.0%}",
        streams=f"{last['peak_bytes'] / last['stream_bytes']:,.0f}",
    )


def _closed_form(rows: Sequence[Json], say: Say) -> str:
    worst = max(abs(row["peak_bytes"] / row["traced_bytes"] - 1) for row in rows)
    key = "memory.formula.right" if worst <= 0.01 else "memory.formula.wrong"
    return say(key, worst=f"{worst:.3%}", cases=len(rows))


def tell_noise(noise: Json, say: Say) -> Section:
    """The noise scale: {tokens, low, high, tokens_per_sequence, steps, batch_tokens, confidence}.

    With `checkpoint` (a name, or None for fresh weights) it was measured at weights held still, else while training.
    """
    low, high, batch = noise["low"], noise["high"], noise["batch_tokens"]
    checkpoint = noise.get("checkpoint", "")
    where = "training" if checkpoint == "" else "fresh" if checkpoint is None else "checkpoint"
    how = say(f"noise.{where}", checkpoint=checkpoint)
    blocks: list[Block] = [say("noise.intro", steps=noise["steps"], how=how, confidence=f"{noise['confidence']:.0%}")]
    values = {name: _tokens(noise[name]) for name in ("tokens", "low", "high")}
    sequences = _tokens(noise["tokens"] / noise["tokens_per_sequence"] if noise["tokens"] else None)
    if low is not None and high is not None and noise["tokens"] is not None:
        blocks.append(say("noise.resolved", **values, sequences=sequences))
    elif low is not None:
        blocks.append(say("noise.lower_bound", low=values["low"]))
    else:
        blocks.append(say("noise.unresolved", steps=noise["steps"]))
    if low is not None and batch < low:
        blocks.append(say("noise.batch_below", batch=f"{batch:,}"))
    elif high is not None and batch > high:
        blocks.append(say("noise.batch_above", batch=f"{batch:,}"))
    elif low is not None:
        blocks.append(say("noise.batch_within", batch=f"{batch:,}"))
    blocks.append(say("noise.monitor"))
    return Section(title=say("noise.title"), blocks=tuple(blocks))


def _tokens(value: float | None) -> str:
    return "?" if value is None else f"{value:,.0f}"
