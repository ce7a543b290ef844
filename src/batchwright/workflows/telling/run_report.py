"""The report of a run in words: a section each for what was trained, on what, how it went, what it took, what went
wrong, what it writes, and how it was made and goes on."""

import math
import time
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from batchwright.batches.geometry import BatchGeometry
from batchwright.foundation.units import format_bytes, format_seconds
from batchwright.training.trouble import name_documents
from batchwright.workflows.picture import visible_lines
from batchwright.workflows.section import Block, Code, Figure, Grid, Section
from batchwright.workflows.strings import Say
from batchwright.workflows.telling.one_batch import tell_geometry

LINES = 12
CALLS_SHOWN = 12
SPIKES_SHOWN = 20

Json = Mapping[str, Any]


def tell_run_report(facts: Json, geometry: BatchGeometry, say: Say) -> list[Section]:
    """All sections, in order; `facts` as `workflows.report.gather` has them."""
    sections = [
        _state(facts, say),
        _model(facts["model"], say),
        _batches(facts, geometry, say),
        _data(facts, say),
        _loss(facts, say),
        _speed(facts, say),
        _spikes(facts, say),
        _checkpoints(facts, say),
        _samples(facts["samples"], say),
        _making(facts, say),
    ]
    return [section for section in sections if section is not None]


def _state(facts: Json, say: Say) -> Section:
    steps, total = facts["steps"], facts["total_steps"]
    done, tokens = (steps[-1]["step"], steps[-1]["tokens"]) if steps else (0, 0)
    blocks: list[Block] = [
        say(
            "run.state.finished" if done >= total else "run.state.unfinished",
            steps=f"{done:,}",
            total=f"{total:,}",
            tokens=f"{tokens:,}",
            budget=f"{facts['training']['tokens']:,}",
        )
    ]
    for trouble in facts["troubles"]:
        blocks += [say("run.trouble", step=f"{trouble['step']:,}"), Code(text=trouble["message"])]
    blocks += [say("run.continue.done" if done >= total else "run.continue"), Code(text=facts["continue"])]
    return Section(title=say("run.state"), blocks=tuple(blocks))


def _model(model: Json, say: Say) -> Section:
    blocks: list[Block] = []
    if model["parameters"] is not None:
        total = model["parameters"]
        rows = [(name, f"{count:,}", f"{count / total:.1%}") for name, count in model["parts"].items() if count]
        rows.append((say("run.parameters.all"), f"{total:,}", "100%"))
        blocks.append(Grid(header=(say("run.part"), say("run.parameters"), say("plan.share")), rows=tuple(rows)))
    blocks.append(say("run.shape", shape=", ".join(f"{name} = {value}" for name, value in model["shape"].items())))
    return Section(title=say("run.model"), blocks=tuple(blocks))


def _batches(facts: Json, geometry: BatchGeometry, say: Say) -> Section:
    training, steps = facts["training"], facts["steps"]
    blocks: list[Block] = [tell_geometry(geometry, say)]
    if training["ramp"] is not None:
        blocks.append(
            say("run.ramp", kind=training["ramp"], first=training["ramp_from"], last=training["global_batch_size"])
        )
    if steps:
        targets, slots = sum(step["targets"] for step in steps), steps[-1]["tokens"]
        blocks.append(say("run.targets", targets=f"{targets:,}", slots=f"{slots:,}", share=f"{targets / slots:.2%}"))
    return Section(title=say("run.batches"), blocks=tuple(blocks))


def _data(facts: Json, say: Say) -> Section:
    header = ("source", "store", "fingerprint", "tokens", "documents", "epochs")
    rows = tuple(
        (
            source["name"],
            source["store"],
            source["fingerprint"],
            f"{source['split_tokens']:,}",
            f"{source['documents']:,}",
            f"{source['epochs']:.3f}",
        )
        for source in facts["data"]
    )
    validation = facts["validation"]
    held_out = (
        say("run.validation.none")
        if validation is None
        else say("run.validation", rows=f"{validation['rows']:,}", scored=f"{validation['scored']:,}")
    )
    table = Grid(header=tuple(say(f"run.data.{name}") for name in header), rows=rows, left=True)
    return Section(title=say("run.data"), blocks=(table, held_out))


def _loss(facts: Json, say: Say) -> Section | None:
    if not facts["steps"]:
        return None
    blocks: list[Block] = [Figure(file_name=facts["figure"], caption=say("run.figure"))]
    header = tuple(say(key) for key in ("run.step", "train.tokens", "train.loss", "train.validation", "run.bits"))
    blocks.append(Grid(header=header, rows=_curve(facts["steps"], facts["evaluations"])))
    blocks.append(say("run.loss.note"))
    return Section(title=say("run.loss"), blocks=tuple(blocks))


def _curve(steps: Sequence[Json], evaluations: Sequence[Json]) -> tuple[tuple[str, ...], ...]:
    """Each evaluation beside the mean training loss since the one before; without evaluations, equal stretches."""
    stretch = -(-len(steps) // LINES)
    ends = sorted({*range(stretch - 1, len(steps), stretch), len(steps) - 1})
    marks = list(evaluations) or [{**steps[end], "loss": None} for end in ends]
    rows, before = list[tuple[str, ...]](), 0
    for mark in marks:
        seen = [step["loss"] for step in steps if before < step["tokens"] <= mark["tokens"]]
        bits = mark.get("bits_per_byte")
        rows.append(
            (
                f"{mark['step']:,}",
                f"{mark['tokens']:,}",
                f"{sum(seen) / len(seen):.3f}" if seen else "",
                "" if mark["loss"] is None else f"{mark['loss']:.3f}",
                "" if bits is None else f"{bits:.3f}",
            )
        )
        before = mark["tokens"]
    stride = max(1, math.ceil(len(rows) / LINES))
    return tuple(row for place, row in enumerate(rows) if place % stride == 0 or place == len(rows) - 1)


def _speed(facts: Json, say: Say) -> Section | None:
    steps = facts["steps"]
    if not steps:
        return None
    norms, clip = [step["gradient_norm"] for step in steps], facts["training"]["clip_norm"]
    seconds = sum(step["seconds"] for step in steps)
    blocks: list[Block] = [
        say(
            "run.speed",
            steps=f"{len(steps):,}",
            seconds=format_seconds(seconds),
            rate=f"{steps[-1]['tokens'] / seconds:,.0f}",
            median=f"{median(step['tokens_per_second'] for step in steps):,.0f}",
        ),
        _mfu(facts, say),
        _memory(facts, say),
        say("run.norms", median=f"{median(norms):.3g}", most=f"{max(norms):.3g}", step=f"{_largest(steps):,}"),
    ]
    if clip is not None:
        clipped = sum(norm > clip for norm in norms)
        blocks.append(say("run.clipped", clip=f"{clip:g}", share=f"{clipped / len(norms):.1%}"))
    return Section(title=say("run.took"), blocks=tuple(blocks))


def _largest(steps: Sequence[Json]) -> int:
    return max(steps, key=lambda step: step["gradient_norm"])["step"]


def _mfu(facts: Json, say: Say) -> str:
    found = [step["mfu"] for step in facts["steps"] if step.get("mfu") is not None]
    peaks = [call["peak"] for call in facts["calls"] if call.get("peak")]
    if not found or not peaks:
        return say("run.mfu.unknown")
    peak, value = peaks[-1], median(found)
    origin = say(
        f"run.peak.{peak['kind']}",
        **{name: peak.get(name, "") for name in ("size", "products", "threads", "dtype")},
    )
    told = say("run.mfu", mfu=f"{value:.1%}", peak=f"{peak['flops_per_second']:.3g}", origin=origin)
    return " ".join([told, say("run.mfu.above_one")] if value > 1 else [told])


def _memory(facts: Json, say: Say) -> str:
    found = [step["peak_memory_bytes"] for step in facts["steps"] if step.get("peak_memory_bytes") is not None]
    if not found:
        return say("run.memory.unknown")
    form = facts["closed_form_bytes"]
    peak = format_bytes(max(found))
    if form is None:
        return say("run.memory", peak=peak)
    return say("run.memory.beside", peak=peak, form=format_bytes(form))


def _spikes(facts: Json, say: Say) -> Section:
    spikes, training = facts["spikes"], facts["training"]
    if training["spike_deviations"] is None:
        return Section(title=say("run.spikes"), blocks=(say("run.spikes.off"),))
    begun = [spike for spike in spikes if spike["began"] == spike["step"]]
    if not begun:
        return Section(title=say("run.spikes"), blocks=(say("run.spikes.none"),))
    header = tuple(say(f"run.spikes.{name}") for name in ("step", "positions", "loss", "norm", "documents"))
    rows = tuple(
        (
            f"{spike['step']:,}",
            f"{spike['first_position']:,}:{spike['stop_position']:,}",
            _jump(spike["loss"], spike["usual_loss"], spike["loss_deviations"]),
            _jump(spike["gradient_norm"], spike["usual_gradient_norm"], spike["gradient_deviations"]),
            name_documents(spike["documents"][:3], spike["document_count"]),
        )
        for spike in begun[:SPIKES_SHOWN]
    )
    return Section(
        title=say("run.spikes"),
        blocks=(
            say("run.spikes.found", count=f"{len(begun):,}", steps=f"{len(spikes):,}"),
            Grid(header=header, rows=rows, left=True),
            say("run.spikes.skip"),
            Code(text="\n".join(spike["command"] for spike in begun[:SPIKES_SHOWN])),
        ),
    )


def _jump(value: float, usual: float, deviations: float | None) -> str:
    mark = "" if deviations is None else f" (+{deviations:,.0f} σ)"
    return f"{value:.3g} / {usual:.3g}{mark}"


def _checkpoints(facts: Json, say: Say) -> Section:
    header = tuple(say(f"run.checkpoints.{name}") for name in ("name", "tokens", "bytes", "kept"))
    rows = tuple(
        (
            each["name"],
            f"{each['tokens']:,}",
            format_bytes(each["bytes"]),
            say("run.checkpoints.for_good") if each["for_good"] else "",
        )
        for each in facts["checkpoints"]
    )
    blocks: tuple[Block, ...] = (Grid(header=header, rows=rows),) if rows else (say("run.checkpoints.none"),)
    return Section(title=say("run.checkpoints"), blocks=blocks)


def _samples(samples: Json | None, say: Say) -> Section | None:
    if not samples:
        return None
    blocks: list[Block] = [
        say("run.samples.intro", checkpoint=samples["checkpoint"], temperature=samples["temperature"])
    ]
    blocks += [Code(text=visible_lines(each["beginning"] + each["text"])) for each in samples["samples"]]
    return Section(title=say("sample.title"), blocks=tuple(blocks))


def _making(facts: Json, say: Say) -> Section:
    calls = facts["calls"]
    header = tuple(say(f"run.calls.{name}") for name in ("begun", "from", "to", "ended", "command"))
    rows = tuple(_call(call, say) for call in calls[-CALLS_SHOWN:])
    blocks: list[Block] = [Grid(header=header, rows=rows, left=True)]
    if len(calls) > CALLS_SHOWN:
        blocks.append(say("run.calls.more", count=f"{len(calls) - CALLS_SHOWN:,}"))
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    blocks += [say("run.versions", versions=versions), say("making.recipe"), Code(text=facts["recipe"].rstrip())]
    return Section(title=say("making.title"), blocks=tuple(blocks))


def _call(call: Json, say: Say) -> tuple[str, ...]:
    ended = call["ended"]
    begun = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(call["time"]))
    return (
        f"{begun} UTC",
        f"{call['from_step']:,}",
        "" if ended is None or ended.get("step") is None else f"{ended['step']:,}",
        say("run.calls.killed") if ended is None else say(f"run.calls.{ended['reason']}"),
        call["command"],
    )
