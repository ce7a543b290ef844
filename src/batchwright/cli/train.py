"""`batchwright train RECIPE`: the reference trainer. Goes on where it was stopped; Ctrl-C ends it with a checkpoint.

On many ranks: `torchrun --nproc-per-node 2 -m batchwright train RECIPE`. The first of them speaks and writes.
"""

import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from batchwright.cli.face import PEOPLE, Advance, Face, Silent
from batchwright.cli.main import EXIT_INTERRUPTED
from batchwright.cli.options import Settings
from batchwright.foundation.errors import UsageError
from batchwright.foundation.units import format_count
from batchwright.recipe import Recipe, load_recipe
from batchwright.training.checkpoint_clock import LARGEST_LOSS_SHARE, LONGEST_SECONDS
from batchwright.training.ranks import Ranks, started_ranks
from batchwright.training.run_records import Record
from batchwright.training.spikes import Spike
from batchwright.training.step import DivergedError, NoTargetsError, OutOfMemoryError, StepRecord
from batchwright.training.trainer import RunResult
from batchwright.training.trouble import name_documents
from batchwright.workflows.change_course import Change, change_course
from batchwright.workflows.hyper_parameters import hyper_parameter_rule
from batchwright.workflows.report import way_back, write_report
from batchwright.workflows.sample import write_samples
from batchwright.workflows.strings import Say
from batchwright.workflows.telling.course import tell_change, tell_scaling
from batchwright.workflows.telling.one_batch import tell_geometry, tell_idle_rows
from batchwright.workflows.tensorboard import TensorBoardEvents
from batchwright.workflows.train import checkpointed_step, geometry_of, records_of
from batchwright.workflows.train import train as train_recipe


def train(
    recipe: Path,
    /,
    *,
    out: Path | None = None,
    set: Settings = None,
    tokens: str | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    sample: int | None = None,
    tensorboard: bool = False,
    skip: str | None = None,
    from_step: int | None = None,
    fresh: bool = False,
    face: Face = PEOPLE,
) -> int:
    """Train a recipe. Called again it continues from the last checkpoint, and the loss curve is the same.

    Exit codes: 0 finished, or paused by --steps or --minutes; 130 interrupted (Ctrl-C, SIGTERM), with a checkpoint;
    1 diverged, and otherwise as every verb.

    Parameters
    ----------
    recipe
        A recipe in TOML.
    out
        Run directory; by default runs/ and the recipe's name.
    set
        Overrides one value: --set training.micro_batch_size=4. May be given several times.
    tokens
        The whole budget, as 2M or 2_000_000; the same as --set training.tokens=.
    steps
        Pause after this many steps in all; the schedule stays that of the whole budget.
    minutes
        Pause after this much time in this call, with a checkpoint; the schedule stays, too.
    sample
        Texts that the model writes for the report at the end of the run; 0: none. The same as --set run.samples=.
    tensorboard
        Write event files for TensorBoard, too. The same as --set run.tensorboard=true.
    skip
        FIRST:STOP, positions that this run shall not eat, now and whenever it is taken up again.
    from_step
        Go back to the kept checkpoint of this step; later ones are deleted. Once: the same call again goes on from
        where the run is, as after a kill or a restart by torchrun.
    fresh
        Forget what was trained in this directory before. Every call does so, so it is refused where torchrun would
        make the call again (--max-restarts).
    """
    settings = [*(set or ()), *([f"training.tokens={tokens}"] if tokens is not None else [])]
    settings += [f"run.samples={sample}"] if sample is not None else []
    settings += ["run.tensorboard=true"] if tensorboard else []
    loaded = load_recipe(recipe, settings=settings)
    directory = out if out is not None else Path("runs") / recipe.stem
    if fresh and (skip is not None or from_step is not None):
        raise UsageError("--fresh forgets the run that --skip and --from-step change", remedy="one or the other")
    if fresh and int(os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0")) > 0:
        raise UsageError(
            "--fresh under torchrun --max-restarts would forget the run at every restart",
            remedy="remove the run directory first, and leave --fresh out",
        )
    with started_ranks(loaded.training.device) as ranks:
        face = face if ranks.first else Silent(json=face.json, lang=face.lang)
        change = None
        if skip is not None or from_step is not None:
            positions = None if skip is None else _positions(skip)
            change = ranks.together(
                lambda: change_course(loaded, directory, skip=positions, from_step=from_step) if ranks.first else None
            )
        if change is not None:
            face.show(*tell_change(change, face.say))
        face.show(tell_geometry(geometry := geometry_of(loaded, ranks=ranks.size), face.say))
        face.show(*tell_idle_rows(geometry, loaded.training.micro_batch_size, face.say))
        face.show(*tell_scaling(hyper_parameter_rule(loaded.training), loaded.training, face.say))
        face.show(_checkpoints(loaded.training.checkpoint_every_tokens, face.say))
        if ranks.first and not fresh and (step := checkpointed_step(directory)) is not None:
            face.show(face.say("training.resumed", step=f"{step:,}"))
        command = command_of(
            recipe, directory, settings, steps=steps, minutes=minutes, skip=skip, from_step=from_step, fresh=fresh
        )
        try:
            result = _run(loaded, directory, face, ranks, command=command, steps=steps, minutes=minutes, fresh=fresh)
        except (DivergedError, NoTargetsError, OutOfMemoryError):
            if ranks.first:
                face.show(face.say("training.report", place=str(write_report(directory, face.say))))
            raise
        if ranks.first:
            if result.reason == "finished" and loaded.run.samples:
                with face.progress(face.say("sample.title")) as advance:
                    write_samples(directory, loaded, heard=advance)
            _answer(result, change, directory, face)
    return EXIT_INTERRUPTED if result.reason == "interrupted" else 0


def _run(
    recipe: Recipe,
    directory: Path,
    face: Face,
    ranks: Ranks,
    *,
    command: str,
    steps: int | None,
    minutes: float | None,
    fresh: bool,
) -> RunResult:
    """Train, with everyone listening who wants to know."""
    events = TensorBoardEvents(directory) if recipe.run.tensorboard and ranks.first else None
    with face.progress(face.say("training.title"), unit=format_count) as advance:
        shown = follow(advance, recipe.training.tokens, spike_heard=lambda spike: _show_spike(spike, directory, face))

        def heard(record: Record) -> None:
            shown(record)
            if events is not None:
                events.hear(record)

        result = train_recipe(
            recipe,
            directory,
            fresh=fresh,
            until_step=steps,
            minutes=minutes,
            command=command,
            on_record=heard,
            ranks=ranks,
        )
    if events is not None:
        events.close()
    return result


def _answer(result: RunResult, change: Change | None, directory: Path, face: Face) -> None:
    """The report and the last word."""
    report = write_report(directory, face.say)
    logged, evaluations = records_of(directory)
    value: dict[str, Any] = {
        "run": str(directory),
        "reason": result.reason,
        "step": result.step,
        "tokens": result.tokens,
        "resumed_from": result.resumed_from,
        "went_back_to": None if change is None else change.went_back_to,
        "skipped": None if change is None or change.skipped is None else asdict(change.skipped),
        "loss": logged[-1]["loss"] if logged else None,
        "validation_loss": evaluations[-1]["loss"] if evaluations else None,
        "bits_per_byte": evaluations[-1]["bits_per_byte"] if evaluations else None,
        "report": str(report),
    }
    sentence = face.say(
        f"training.{result.reason}",
        steps=f"{result.step:,}",
        tokens=f"{result.tokens:,}",
        loss=_number(value["loss"]),
        validation=_number(value["validation_loss"]),
        place=str(directory),
    )
    face.answer(value, sentence, face.say("training.report", place=str(report)))


def command_of(
    recipe: Path,
    directory: Path,
    settings: Sequence[str],
    *,
    steps: int | None = None,
    minutes: float | None = None,
    skip: str | None = None,
    from_step: int | None = None,
    fresh: bool = False,
) -> str:
    """This call as one could type it again."""
    words = ["batchwright", "train", str(recipe), "--out", str(directory)]
    words += [word for setting in settings for word in ("--set", setting)]
    words += ["--steps", str(steps)] if steps is not None else []
    words += ["--minutes", f"{minutes:g}"] if minutes is not None else []
    words += ["--from-step", str(from_step)] if from_step is not None else []
    words += ["--skip", skip] if skip is not None else []
    return shlex.join([*words, *(["--fresh"] if fresh else [])])


def _positions(text: str) -> tuple[int, int]:
    first, colon, stop = (part.strip().replace("_", "") for part in text.partition(":"))
    if not (colon and first.isdigit() and stop.isdigit()):
        raise UsageError(f"--skip {text!r} is not a range of positions", remedy="--skip 40000:40512")
    return int(first), int(stop)


def _checkpoints(every_tokens: int | None, say: Say) -> str:
    """What a crash can cost, said before it can happen."""
    if every_tokens is None:
        return say(
            "training.checkpoints.default", share=f"{LARGEST_LOSS_SHARE:.1%}", minutes=f"{LONGEST_SECONDS / 60:.0f}"
        )
    return say("training.checkpoints", tokens=f"{every_tokens:,}")


def follow(advance: Advance, total_tokens: int, *, spike_heard: Callable[[Spike], None]) -> Callable[[Record], None]:
    """Shows every step's loss and speed beside the bar, and tells of every spike that begins."""

    def heard(record: Record) -> None:
        if isinstance(record, StepRecord):
            note = f"loss {record.loss:.3f}  {record.tokens_per_second:,.0f} tokens/s"
            advance(record.tokens, total_tokens, note=note)
        elif isinstance(record, Spike) and record.began == record.step:
            spike_heard(record)

    return heard


def _show_spike(spike: Spike, directory: Path, face: Face) -> None:
    face.show(
        face.say(
            "training.spike",
            step=f"{spike.step:,}",
            first=spike.first_position,
            stop=spike.stop_position,
            loss=_number(spike.loss),
            usual_loss=_number(spike.usual_loss),
            norm=_number(spike.gradient_norm),
            usual_norm=_number(spike.usual_gradient_norm),
            documents=name_documents(spike.documents[:3], spike.document_count) or "–",
            command=way_back(
                directory,
                began=spike.began,
                first_position=spike.first_position,
                stop_position=spike.stop_position,
            ),
        )
    )


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
