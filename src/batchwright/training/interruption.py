"""Being asked to stop: SIGTERM (a scheduler) and SIGINT (Ctrl-C) become a question the loop can ask.

Guarantee: the step in progress is finished and a checkpoint written before the run ends; a second signal ends it at
once. Outside the main thread, where Python allows no signal handlers, nothing is caught. Price: up to one step and
one checkpoint of delay.
"""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interruption:
    """Inside the `with` block, `requested` says whether somebody asked the process to end."""

    def __init__(self) -> None:
        self.requested = False
        self._before: dict[signal.Signals, Any] = {}

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
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
