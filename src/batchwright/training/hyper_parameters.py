"""The optimizer's numbers of one step, and the rule that gives them. No torch here.

Guarantee: a step is made with exactly the `HyperParameters` it was given, and its record says which they were. A rule
is a pure function of the step, the tokens seen and the batch; so a run that is taken up again, or re-cut into other
micro-batches or ranks, is given the same numbers. Which numbers a *batch* asks for is not known here: such a rule is
handed to the trainer (`workflows.hyper_parameters` makes one from `planning.scaling_rules`).
"""

from dataclasses import dataclass
from typing import Protocol

from batchwright.foundation.errors import InputError
from batchwright.training.lr_schedule import LearningRateSchedule


@dataclass(frozen=True, kw_only=True, slots=True)
class HyperParameters:
    """Of one update. None: as the optimizer was built."""

    learning_rate: float
    betas: tuple[float, float] | None = None
    epsilon: float | None = None
    weight_decay: float | None = None  # of the groups that decay

    def __post_init__(self) -> None:
        for name, value in (
            ("learning rate", self.learning_rate),
            ("epsilon", self.epsilon),
            ("weight decay", self.weight_decay),
        ):
            if value is not None and not 0 <= value < float("inf"):
                raise InputError(f"the {name} of a step is {value}", remedy="a finite number from 0")
        if self.betas is not None and not all(0 <= beta < 1 for beta in self.betas):
            raise InputError(f"the betas of a step are {self.betas}", remedy="each at least 0 and below 1")


class HyperParameterRule(Protocol):
    """(step, tokens, batch) → the numbers of that step."""

    def for_step(
        self, *, step: int, tokens_before: int, tokens_of_step: int, global_batch_size: int
    ) -> HyperParameters:
        """Of update number `step` (from 1), which begins after `tokens_before` slots."""
        ...


@dataclass(frozen=True, kw_only=True)
class ScheduledLearningRate:
    """The learning rate follows its schedule, all else stays: what a run does unless it is told otherwise."""

    schedule: LearningRateSchedule

    def for_step(
        self, *, step: int, tokens_before: int, tokens_of_step: int, global_batch_size: int
    ) -> HyperParameters:
        return HyperParameters(learning_rate=self.schedule.for_step(tokens_before, tokens_of_step))
