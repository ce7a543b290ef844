"""Tasks one after another in this process: the engine to debug with, and the reference for the others."""

from collections.abc import Iterable, Iterator

from batchwright.foundation.execution import Manifest, Task, make_outputs, run_task


class SerialExecutor:
    """Runs each task when its result is asked for."""

    workers = 1

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Manifest]]:
        for task in tasks:
            make_outputs([task])
            yield task, run_task(task)
