"""Being asked to stop: SIGTERM (a scheduler), SIGINT (Ctrl-C) and a limit of wall time become a question the loop can
ask.

Guarantee: the step in progress is finished and a checkpoint written before the run ends; a second signal ends it at
once, but for one within a second of the first: a scheduler and torchrun both pass on the same wish. Outside the main
thread, where Python allows no signal handlers, only the time is kept. Price: up to one step and one checkpoint of
delay.
"""

import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any, Self

SAME_WISH_SECONDS = 1.0
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interruption:
    """Inside the `with` block, `requested` says whether the run shall end: somebody asked (`signalled`), or `seconds`
    have passed."""

    def __init__(self, *, seconds: float | None = None) -> None:
        self.signalled = False
        self._first = 0.0  # when
        self._until = None if seconds is None else time.monotonic() + seconds
        self._before: dict[signal.Signals, Any] = {}

    @property
    def requested(self) -> bool:
        return self.signalled or (self._until is not None and time.monotonic() >= self._until)

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signalled and time.monotonic() - self._first >= SAME_WISH_SECONDS:
            raise KeyboardInterrupt
        self._first = self._first if self.signalled else time.monotonic()
        self.signalled = True
