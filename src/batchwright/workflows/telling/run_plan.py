"""A plan in words: what a step holds in memory, what fits, what the run costs, and why each number is what it is."""

from batchwright.foundation.units import format_bytes, format_count
from batchwright.model.config import ModelConfig
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
        *_stream(run, say),
        say(
            "plan.fits" if run.fits else "plan.does_not_fit",
            peak=format_bytes(run.memory.peak_bytes),
            usable=format_bytes(run.fitted.usable_bytes),
            memory=format_bytes(run.memory_bytes),
            largest=f"{largest:,}",
        ),
        _work(run, say),
        say("plan.no_time") if run.duration() is None else say("plan.time", time=run.duration()),
        Grid(
            header=(say("plan.number"), say("plan.value"), say("plan.because"), say("plan.source")),
            rows=tuple((r.name, r.value, r.because, r.source) for r in (*run.fitted.reasons, *run.hyperparameters())),
            left=True,
        ),
    ]
    return Section(title=say("plan.title"), blocks=tuple(blocks))


def _stream(run: RunPlan, say: Say) -> list[Block]:
    """B × T × D, of a model whose D is known."""
    model, size = run.recipe.model, run.memory.hidden_bytes
    if size is None or not isinstance(model, ModelConfig):
        return []
    shape = {"rows": run.geometry.micro_batch_size, "length": run.geometry.sequence_length, "width": model.width}
    return [say("plan.stream", **shape, size=format_bytes(size))]


def _work(run: RunPlan, say: Say) -> str:
    run_of = {"steps": f"{run.steps:,}", "tokens": format_count(run.steps * run.geometry.tokens_per_step)}
    if run.flops is None or run.attention_share is None:
        return say("plan.work.unknown", **run_of)
    return say("plan.work", **run_of, flops=f"{run.flops:.2e}", attention=f"{run.attention_share:.0%}")
