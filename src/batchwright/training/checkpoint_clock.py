"""When a checkpoint is due.

    checkpoint_every_tokens said     at every multiple of it, and not otherwise
    left out                         2.5 % of the budget or 15 minutes after the one before, whichever comes first, but
                                     never before 20 times the seconds that writing one took have passed, and never
                                     while one is still being written
    keep_every_tokens said           at every multiple of it, too: those are the ones that stay

Guarantee: weights and loss curve do not depend on when checkpoints are written. Price of the default: a crash costs at
most 2.5 % of the budget or 15 minutes of work, writing at most 5 % of the time.
"""

import time

from batchwright.training.config import TrainingConfig

LARGEST_LOSS_SHARE = 1 / 40
LONGEST_SECONDS = 15 * 60.0
WRITES_BETWEEN = 20  # writing takes at most 1/20 of the time


class CheckpointClock:
    """Of one call of a run: begun when it has `tokens` behind it."""

    def __init__(self, config: TrainingConfig, *, tokens: int) -> None:
        self._every, self._keep_every = config.checkpoint_every_tokens, config.keep_every_tokens
        self._share = max(1, int(config.tokens * LARGEST_LOSS_SHARE))
        self._tokens, self._time = tokens, time.monotonic()
        every = [each for each in (self._every, self._keep_every) if each is not None]
        self.before_the_end = self._every is None or min(every) < config.tokens  # any checkpoint but the last one

    def due(self, before: int, after: int, *, write_seconds: float = 0.0, writing: bool = False) -> bool:
        """Whether the step that brought the run from `before` to `after` tokens is one to keep. `write_seconds`: what
        the last one took from copy to commit; `writing`: it is not committed yet."""
        if crosses(self._keep_every, before, after):
            return True
        if self._every is not None:
            return crosses(self._every, before, after)
        passed = time.monotonic() - self._time
        wanted = after - self._tokens >= self._share or passed >= LONGEST_SECONDS
        return wanted and not writing and passed >= WRITES_BETWEEN * write_seconds

    def written(self, tokens: int) -> None:
        """A checkpoint was begun after so many tokens."""
        self._tokens, self._time = tokens, time.monotonic()


def crosses(every: int | None, before: int, after: int) -> bool:
    """Whether a multiple of `every` lies in (before, after]."""
    return every is not None and before // every != after // every
