"""What a job would do, in words."""

from collections.abc import Callable

from batchwright.foundation.units import format_bytes, format_count, format_seconds
from batchwright.workflows.rehearsal import Estimate, Rehearsal
from batchwright.workflows.section import Block, Grid, Section
from batchwright.workflows.strings import Say
from batchwright.workflows.telling.text_to_tokens import named_reason


def tell_rehearsal(rehearsal: Rehearsal, say: Say) -> Section:
    """Input, what would be kept of it, what it costs; the largest reasons for dropping."""
    formats = ", ".join(f"{count:,} × {name}" for name, count in rehearsal.formats.items())
    rows = [
        (say("rehearsal.documents"), *_interval(rehearsal.documents, _whole)),
        (say("rehearsal.kept"), *_interval(rehearsal.kept, _whole)),
        (say("rehearsal.text"), *_interval(rehearsal.text_bytes, format_bytes)),
        (say("rehearsal.tokens"), *_interval(rehearsal.tokens, format_count)),
        (say("rehearsal.cpu"), *_interval(rehearsal.cpu_seconds, format_seconds)),
    ]
    blocks: list[Block] = [
        say(
            "rehearsal.input",
            files=f"{rehearsal.files:,}",
            formats=formats,
            size=format_bytes(rehearsal.input_bytes),
            sampled=format_bytes(rehearsal.sampled_bytes),
        ),
        Grid(header=("", say("rehearsal.about"), say("rehearsal.low"), say("rehearsal.high")), rows=tuple(rows)),
        say(
            "rehearsal.cost",
            seconds=format_seconds(rehearsal.seconds),
            workers=f"{rehearsal.workers:,}",
            store=format_bytes(rehearsal.store_bytes),
            needed=format_bytes(rehearsal.needed_bytes),
            free=format_bytes(rehearsal.free_bytes),
        ),
    ]
    dropped = {name: each["documents"] for name, each in rehearsal.tally["dropped"].items()}
    if dropped:
        largest = sorted(dropped.items(), key=lambda item: (-item[1], item[0]))
        reasons = ", ".join(f"{count:,} {named_reason(name, say)} ({name})" for name, count in largest[:6])
        blocks.append(say("rehearsal.dropped", reasons=reasons))
    if rehearsal.needed_bytes > rehearsal.free_bytes:
        blocks.append(say("rehearsal.disk_too_small"))
    blocks.append(say("rehearsal.exact" if rehearsal.whole else "rehearsal.sampled"))
    return Section(title=say("rehearsal.head"), blocks=tuple(blocks))


def _interval(estimate: Estimate, written: Callable[[float], str]) -> tuple[str, str, str]:
    return written(estimate.value), written(estimate.low), written(estimate.high)


def _whole(count: float) -> str:
    return format_count(count) if count >= 100_000 else f"{count:,.0f}"
