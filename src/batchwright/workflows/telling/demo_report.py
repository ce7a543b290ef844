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
