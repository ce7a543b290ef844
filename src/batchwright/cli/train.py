"""`batchwright train RECIPE`: the reference trainer. Goes on where it was stopped; Ctrl-C ends it with a checkpoint.

On many ranks: `torchrun --nproc-per-node 2 -m batchwright train RECIPE`. The first of them speaks and writes.
"""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from batchwright.cli.face import PEOPLE, Advance, Face, Silent
from batchwright.cli.main import EXIT_INTERRUPTED
from batchwright.cli.options import Settings
from batchwright.foundation.errors import UsageError
from batchwright.foundation.units import format_count
from batchwright.recipe import load_recipe
from batchwright.training.ranks import started_ranks
from batchwright.training.step import StepRecord
from batchwright.workflows.change_course import change_course
from batchwright.workflows.hyper_parameters import hyper_parameter_rule
from batchwright.workflows.strings import Say
from batchwright.workflows.telling.course import tell_change, tell_scaling
from batchwright.workflows.telling.one_batch import tell_geometry
from batchwright.workflows.train import Record, checkpointed_step, geometry_of, records_of
from batchwright.workflows.train import train as train_recipe


def train(
    recipe: Path,
    /,
    *,
    out: Path | None = None,
    set: Settings = None,
    tokens: str | None = None,
    steps: int | None = None,
    skip: str | None = None,
    from_step: int | None = None,
    fresh: bool = False,
    face: Face = PEOPLE,
) -> int:
    """Train a recipe. Called again it continues from the last checkpoint, and the loss curve is the same.

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
    skip
        FIRST:STOP, positions that this run shall not eat, now and whenever it is taken up again.
    from_step
        Go back to the kept checkpoint of this step; later ones are deleted.
    fresh
        Forget what was trained in this directory before.
    """
    settings = [*(set or ()), *([f"training.tokens={tokens}"] if tokens is not None else [])]
    loaded = load_recipe(recipe, settings=settings)
    directory = out if out is not None else Path("runs") / recipe.stem
    if fresh and (skip is not None or from_step is not None):
        raise UsageError("--fresh forgets the run that --skip and --from-step change", remedy="one or the other")
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
        face.show(tell_geometry(geometry_of(loaded, ranks=ranks.size), face.say))
        face.show(*tell_scaling(hyper_parameter_rule(loaded.training), loaded.training, face.say))
        face.show(_checkpoints(loaded.training.checkpoint_every_tokens, face.say))
        if ranks.first and not fresh and (step := checkpointed_step(directory)) is not None:
            face.show(face.say("training.resumed", step=f"{step:,}"))
        with face.progress(face.say("training.title"), unit=format_count) as advance:
            result = train_recipe(
                loaded,
                directory,
                fresh=fresh,
                until_step=steps,
                on_record=follow(advance, loaded.training.tokens),
                ranks=ranks,
            )
        logged, evaluations = records_of(directory)
        value = {
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
        }
        sentence = face.say(
            f"training.{result.reason}",
            steps=f"{result.step:,}",
            tokens=f"{result.tokens:,}",
            loss=_number(value["loss"]),
            validation=_number(value["validation_loss"]),
            place=str(directory),
        )
        face.answer(value, sentence)
        return EXIT_INTERRUPTED if result.reason == "interrupted" else 0


def _positions(text: str) -> tuple[int, int]:
    first, colon, stop = (part.strip().replace("_", "") for part in text.partition(":"))
    if not (colon and first.isdigit() and stop.isdigit()):
        raise UsageError(f"--skip {text!r} is not a range of positions", remedy="--skip 40000:40512")
    return int(first), int(stop)


def _checkpoints(every_tokens: int | None, say: Say) -> str:
    """What a crash can cost, said before it can happen."""
    if every_tokens is None:
        return say("training.no_checkpoints")
    return say("training.checkpoints", tokens=f"{every_tokens:,}")


def follow(advance: Advance, total_tokens: int) -> Callable[[Record], None]:
    """Shows every step's loss and speed beside the bar."""

    def heard(record: Record) -> None:
        if isinstance(record, StepRecord):
            note = f"loss {record.loss:.3f}  {record.tokens_per_second:,.0f} tokens/s"
            advance(record.tokens, total_tokens, note=note)

    return heard


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
