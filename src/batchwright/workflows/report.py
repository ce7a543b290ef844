"""`report.md` in a run directory: what was trained, how it went, what it took, how it was made and how it goes on.

Guarantee: made from what lies in the directory (recipe, log, checkpoints, calls, samples) and the stores, so it can be
made again at any time and shows the run as it is, also one that was interrupted or killed. Price: one reading of the
log and a picture, ~1 s.
"""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from batchwright.batches.schedule import BatchSchedule
from batchwright.foundation.files import read_json, translated, write_atomic
from batchwright.model.config import ModelConfig
from batchwright.recipe import Recipe, load_recipe
from batchwright.sequences.timeline import Timeline
from batchwright.training.checkpoint_write import Checkpoints, milestones
from batchwright.training.config import TrainingConfig
from batchwright.training.run_log import read_log
from batchwright.training.trainer import CHECKPOINTS_NAME, LOG_NAME
from batchwright.training.trouble import skip_command
from batchwright.workflows.calls import read_calls
from batchwright.workflows.fitting import closed_form_bytes
from batchwright.workflows.machine import packages
from batchwright.workflows.run_directory import RECIPE_NAME
from batchwright.workflows.run_figure import plot_run
from batchwright.workflows.sample import SAMPLES_NAME
from batchwright.workflows.section import to_markdown
from batchwright.workflows.strings import Say
from batchwright.workflows.telling.run_report import tell_run_report
from batchwright.workflows.train import RunData, geometry_of, open_data

REPORT_NAME, FIGURE_NAME = "report.md", "loss.png"

Json = dict[str, Any]


def write_report(run: Path, say: Say) -> Path:
    """Write report.md and loss.png anew; returns the report's path."""
    recipe = load_recipe(run / RECIPE_NAME, environment={})
    facts = gather(run, recipe)
    if facts["steps"]:
        with translated(run / FIGURE_NAME):
            plot_run(
                facts["steps"],
                facts["evaluations"],
                facts["spikes"],
                run / FIGURE_NAME,
                clip_norm=recipe.training.clip_norm,
            )
    path = run / REPORT_NAME
    sections = tell_run_report(facts, geometry_of(recipe), say)
    write_atomic(path, to_markdown(sections, title=say("run.title", name=run.resolve().name)).encode())
    return path


def gather(run: Path, recipe: Recipe) -> Json:
    """Everything the report tells, as plain values."""
    data = open_data(recipe)
    log = read_log(run / LOG_NAME) if (run / LOG_NAME).exists() else []
    of_kind = {kind: [r for r in log if r["kind"] == kind] for kind in ("step", "evaluation", "spike")}
    steps = of_kind["step"]
    training = recipe.training
    place = shlex.quote(str(run))
    return {
        "model": _model(recipe),
        "training": training.to_dict(),
        "total_steps": BatchSchedule(data.plan, training.batch_rule).steps_for(training.tokens),
        "steps": steps,
        "evaluations": of_kind["evaluation"],
        "spikes": [{**spike, "command": way_back(run, **_place(spike))} for spike in of_kind["spike"]],
        "troubles": [r for r in log if r["kind"] in ("diverged", "no targets")],
        "data": list(_sources(data, steps)),
        "validation": None if data.validation is None else _held_out(data.validation.row_count, training),
        "closed_form_bytes": closed_form_bytes(recipe, recipe.training.micro_batch_size),
        "checkpoints": list(_checkpoints(run, training.keep_every_tokens)),
        "samples": read_json(run / SAMPLES_NAME) if (run / SAMPLES_NAME).exists() else None,
        "calls": read_calls(run),
        "continue": f"batchwright train {shlex.quote(str(run / RECIPE_NAME))} --out {place}",
        "versions": packages(),
        "recipe": recipe.to_toml(),
        "figure": FIGURE_NAME if steps else None,
    }


def _model(recipe: Recipe) -> Json:
    model = recipe.model
    parts = model.parameters_by_part() if isinstance(model, ModelConfig) else {}
    shape = {name: value for name, value in model.to_dict().items() if value is not None}
    return {"parts": parts, "parameters": model.parameter_count(), "shape": shape}


def _sources(data: RunData, steps: list[Json]) -> Iterator[Json]:
    """Every source of the plan: its store, and how many rows of it were trained on, in epochs too."""
    timeline = Timeline(data.plan)
    eaten = timeline.skipped.eaten_before(steps[-1]["first_position"]) + steps[-1]["sequences"] if steps else 0
    read = timeline.eaten_before(timeline.skipped.position_at(eaten))
    for stream, rows in zip(timeline.streams, read, strict=True):
        stored = stream.index.stored
        yield {
            "name": stream.name,
            "store": str(stored.directory),
            "fingerprint": stored.fingerprint,
            "split_tokens": stream.index.counts["stored"],
            "documents": stream.index.counts["documents"],
            "row_count": stream.row_count,
            "rows_read": rows,
            "epochs": rows / stream.row_count,
        }


def _held_out(rows: int, training: TrainingConfig) -> Json:
    asked = training.evaluate_sequences
    return {"rows": rows, "scored": rows if asked is None else min(asked, rows)}


def _checkpoints(run: Path, keep_every_tokens: int | None) -> Iterator[Json]:
    committed = Checkpoints(run / CHECKPOINTS_NAME).committed()
    kept = milestones(committed, keep_every_tokens)
    for path in committed:
        state = read_json(path / "state.json")
        yield {
            "name": path.name,
            "step": state["step"],
            "tokens": state["tokens"],
            "bytes": sum(file.stat().st_size for file in path.rglob("*") if file.is_file()),
            "for_good": path in kept,
        }


def way_back(run: Path, *, began: int, first_position: int, stop_position: int) -> str:
    """The command that trains again without these positions, from the newest checkpoint there is before step `began`;
    where only later ones are left, in another directory from the beginning."""
    steps = [int(path.name.rpartition("-")[2]) for path in Checkpoints(run / CHECKPOINTS_NAME).committed()]
    back = max((step for step in steps if step < began), default=None)
    out = run.with_name(f"{run.name}-without-{first_position}") if steps and back is None else None
    return skip_command(run, from_step=back, first_position=first_position, stop_position=stop_position, out=out)


def _place(spike: Json) -> Json:
    return {name: spike[name] for name in ("began", "first_position", "stop_position")}
