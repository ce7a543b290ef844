"""`batchwright plan RECIPE`: what fits and how fast, from closed forms, before anything runs. No torch."""

from pathlib import Path

from batchwright.cli.face import PEOPLE, Face
from batchwright.cli.options import Settings
from batchwright.cli.paint import paint_section
from batchwright.foundation.units import GiB
from batchwright.recipe import load_recipe
from batchwright.workflows.plan import plan_run
from batchwright.workflows.telling.run_plan import tell_plan


def plan(
    recipe: Path,
    /,
    *,
    set: Settings = None,
    memory_gib: float | None = None,
    world_size: int = 1,
    rate: float | None = None,
    face: Face = PEOPLE,
) -> None:
    """What a recipe would need: batch geometry, peak memory by part, the largest micro-batch, work and time.

    Parameters
    ----------
    recipe
        A recipe in TOML.
    set
        Overrides one value: --set training.micro_batch_size=4. May be given several times.
    memory_gib
        Memory of one rank; by default what is free on this machine.
    world_size
        Data-parallel ranks.
    rate
        Tokens per second of all ranks together, as measured (batchwright measure throughput); gives the time.
    """
    run = plan_run(
        load_recipe(recipe, settings=set or ()),
        world_size=world_size,
        memory_bytes=None if memory_gib is None else int(memory_gib * GiB),
        tokens_per_second=rate,
    )
    face.answer(run.to_json(), paint_section(tell_plan(run, face.say)))
