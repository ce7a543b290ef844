"""A plan in words: what a step holds in memory, what fits, what the run costs, and why each number is what it is."""

from batchwright.foundation.units import format_bytes, format_count
from batchwright.planning.memory import CLOSED_FORM
from batchwright.workflows.plan import RunPlan
from batchwright.workflows.section import Block, Grid, Section
from batchwright.workflows.strings import Say
from batchwright.workflows.telling.one_batch import tell_geometry


def tell_plan(run: RunPlan, say: Say) -> Section:
    rows = tuple((say(f"part.{part}"), size, share) for part, size, share in run.rows())
    label = say("memory.peak" if run.memory.source == CLOSED_FORM else "memory.peak.traced")
    peak = (label, format_bytes(run.memory.peak_bytes), "100%")
    largest = run.fitted.largest_micro_batch_size
    blocks: list[Block] = [
        tell_geometry(run.geometry, say),
        Grid(header=(say("plan.part"), say("bytes"), say("plan.share")), rows=(*rows, peak)),
        say(
            "plan.stream",
            rows=run.geometry.micro_batch_size,
            length=run.geometry.sequence_length,
            width=run.recipe.shape.width,
            size=format_bytes(run.memory.hidden_bytes),
        ),
        say(
            "plan.fits" if run.fits else "plan.does_not_fit",
            peak=format_bytes(run.memory.peak_bytes),
            usable=format_bytes(run.fitted.usable_bytes),
            memory=format_bytes(run.memory_bytes),
            largest=f"{largest:,}",
        ),
        say(
            "plan.work",
            steps=f"{run.steps:,}",
            tokens=format_count(run.steps * run.geometry.tokens_per_step),
            flops=f"{run.flops:.2e}",
            attention=f"{run.attention_share:.0%}",
        ),
        say("plan.no_time") if run.duration() is None else say("plan.time", time=run.duration()),
        Grid(
            header=(say("plan.number"), say("plan.value"), say("plan.because"), say("plan.source")),
            rows=tuple((r.name, r.value, r.because, r.source) for r in (*run.fitted.reasons, *run.hyperparameters())),
            left=True,
        ),
    ]
    return Section(title=say("plan.title"), blocks=tuple(blocks))
