"""The ends of the demo: a sample of text, what it amounts to, and how every number was made."""

from collections.abc import Mapping
from typing import Any

from batchwright.foundation.units import format_bytes
from batchwright.workflows.picture import visible_lines
from batchwright.workflows.section import Block, Code, Grid, Section
from batchwright.workflows.strings import Say

Json = Mapping[str, Any]


def tell_sample(result: Json, say: Say) -> Section:
    """Text that the trained model wrote; `result`: samples of {beginning, text}, temperature."""
    blocks: list[Block] = [say("sample.intro", temperature=result["temperature"])]
    for sample in result["samples"]:
        beginning = sample["beginning"]
        blocks.append(say("sample.after", beginning=beginning) if beginning else say("sample.fresh"))
        blocks.append(Code(text=visible_lines(beginning + sample["text"])))
    return Section(title=say("sample.title"), blocks=tuple(blocks))


def tell_in_short(results: Json, say: Say) -> Section:
    """The four findings of the chapters on the batch size, a line each, and where each stands."""
    points, rows = results["throughput"]["points"], results["memory"]["by_rows"]
    best = max(points, key=lambda point: point["tokens_per_second"])
    noise, swept = results["noise"]["tokens"], results["sweep"]
    winner = swept["verdict"]["best"]
    lines = (
        (
            say("short.speed"),
            say(
                "short.speed.here",
                best=best["micro_batch_size"],
                ratio=f"{best['tokens_per_second'] / points[0]['tokens_per_second']:.2f}",
                smallest=points[0]["micro_batch_size"],
            ),
            "4a",
        ),
        (
            say("short.memory"),
            say(
                "short.memory.here",
                first=rows[0]["B"],
                last=rows[-1]["B"],
                small=format_bytes(rows[0]["peak_bytes"]),
                large=format_bytes(rows[-1]["peak_bytes"]),
            ),
            "4b",
        ),
        (
            say("short.noise"),
            say("short.noise.unknown") if noise is None else say("short.noise.here", tokens=f"{noise:,.0f}"),
            "4c",
        ),
        (
            say("short.loss", tokens=f"{swept['tokens']:,}"),
            say("short.loss.here", batch=winner["global_batch_size"], loss=f"{winner['validation_loss']:.3f}"),
            "4d",
        ),
    )
    header = tuple(say(f"short.{name}") for name in ("what", "here", "where"))
    return Section(title=say("short.title"), blocks=(Grid(header=header, rows=lines, left=True),))


def tell_making(making: Json, say: Say) -> Section:
    """Input hashes, versions and commands."""
    inputs = making["inputs"]
    facts = (
        (say("making.command"), making["command"]),
        (say("making.inputs"), f"{inputs['files']:,} ({format_bytes(inputs['bytes'])})"),
        (say("making.inputs_hash"), making["inputs_xxh3"]),
        (say("making.store"), making["store"]),
        *((name, value) for name, value in making["machine"].items()),
        *((name, value) for name, value in making["versions"].items()),
    )
    return Section(
        title=say("making.title"),
        blocks=(
            Grid(header=(say("making.what"), say("making.value")), rows=facts, left=True),
            say("making.recipe"),
            Code(text=making["recipe"].rstrip()),
        ),
    )
