"""Where a consumer stands who takes micro-batches one by one and acknowledges nothing: torch's loaders and trainers.

A place is a step's position and how many of its micro-batches were taken. It is all the state there is: one small dict,
the same on every rank, however many workers read ahead, because it counts what was *handed out*.

    position 96, taken 0     position 96, taken 1     position 128, taken 0        G = 32, two micro-batches a step
    |----- micro-batch 0 ----|----- micro-batch 1 ----|

Guarantee: resumed from a state, the next micro-batch is the one after the last handed out. At a step's edge another
world size, micro-batch or number of workers may go on; inside a step only the same cut can, anything else is refused.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from batchwright.batches.loader import BatchLoader
from batchwright.batches.step import Step
from batchwright.foundation.errors import InputError


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """`taken` of the `of` micro-batches of the step at `position` were handed out; 0 of 0 at a step's edge."""

    position: int = 0
    taken: int = 0
    of: int = 0


class Places:
    """The place of one consumer of a loader, and its way forward. `steps`: how many to give from the place on; None:
    without end."""

    def __init__(self, loader: BatchLoader, steps: int | None = None) -> None:
        if steps is not None and steps < 0:
            raise InputError(f"{steps} steps", remedy="a whole number from 0, or None for an endless stream")
        self.loader = loader
        self.steps = steps
        self.place = Place(position=loader.position)

    def ahead(self) -> Iterator[tuple[Step, int, Place]]:
        """(step, micro-batch of it, the place after it), from here on. No micro-batch is built before the step is
        iterated."""
        position, taken = self.place.position, self.place.taken
        given = 0
        while self.steps is None or given < self.steps:
            step = self.loader.step_from(position)
            self.loader.require_target(step)
            count = len(step)
            if taken and self.place.of != count:
                raise InputError(
                    f"{taken} of {self.place.of} micro-batches of the step at position {position:,} were taken; here a "
                    f"step has {count}",
                    remedy="resume with the micro-batch and world size it was saved with, or save at a step's edge",
                )
            for number in range(taken, count):
                edge = number + 1 == count
                yield (
                    step,
                    number,
                    Place(position=step.stop_position)
                    if edge
                    else Place(position=position, taken=number + 1, of=count),
                )
            position, taken = step.stop_position, 0
            given += 1

    def state_dict(self) -> dict[str, Any]:
        """JSON: the loader's state at this place."""
        self.loader.restore({**self.loader.state(), "position": self.place.position})
        return {**self.loader.state(), "taken": self.place.taken, "of": self.place.of}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state; iterators begun afterwards start there. Raises InputError naming what differs when it
        belongs to another plan."""
        if not state:
            return
        self.loader.restore(state)
        taken, of = state.get("taken", 0), state.get("of", 0)
        if not (isinstance(taken, int) and isinstance(of, int) and 0 <= taken <= max(of - 1, 0)):
            raise InputError(f"{taken!r} of {of!r} micro-batches is no place in a step")
        self.place = Place(position=self.loader.position, taken=taken, of=of)
