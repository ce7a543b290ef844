"""What a run says: every step, evaluation, spike and trouble, into its log and to whoever listens.

Guarantee: the first rank alone writes and speaks; the others keep the same order of calls and say nothing. A spike is
judged after its step was logged, so a run taken up again finds the same ones. Price: one write call per record.
"""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import NoReturn

from batchwright.batches.step import Step
from batchwright.foundation.errors import BatchwrightError
from batchwright.training.evaluation import Evaluation
from batchwright.training.run_log import EMPTY_XXH3, RunLog, read_log
from batchwright.training.spikes import Spike, SpikeWatch
from batchwright.training.step import DivergedError, StepRecord
from batchwright.training.trouble import BatchDocuments, Tracer, Trouble, explained, skip_command

Record = StepRecord | Evaluation | Spike | Trouble
Listener = Callable[[Record], None]

_KINDS = {StepRecord: "step", Evaluation: "evaluation", Spike: "spike"}  # a Trouble says its own


class RunRecords:
    """The records of one call of a run. `log`: none on the ranks that do not write."""

    def __init__(
        self, log: RunLog | None, spikes: SpikeWatch, *, listener: Listener | None = None, tracer: Tracer | None = None
    ) -> None:
        self._log, self._spikes, self._listener, self._tracer = log, spikes, listener, tracer
        if log is not None:
            spikes.remember(read_log(log.path))

    def add(self, record: Record) -> None:
        if self._log is None:
            return
        kind = record.kind if isinstance(record, Trouble) else _KINDS[type(record)]
        self._log.append({"kind": kind, **asdict(record)})
        if self._listener is not None:
            self._listener(record)

    def add_step(self, record: StepRecord, batches: Step) -> None:
        """A step, and the spike that it may be part of."""
        self.add(record)
        if self._log is None:
            return
        spike = self._spikes.look(record, stop_position=batches.stop_position)
        if spike is not None:
            traced = self._trace(batches)
            self.add(replace(spike, documents=traced.documents, document_count=traced.count))

    def refuse(
        self, error: BatchwrightError, batches: Step, *, step: int, directory: Path, newest: int | None
    ) -> NoReturn:
        """Say, in the log too, what is wrong with a step that cannot be made, and how to go on without it. `newest`:
        the step of the newest checkpoint in `directory`."""
        documents = self._trace(batches)
        first, stop = batches.first_position, batches.stop_position
        command = skip_command(directory, from_step=newest, first_position=first, stop_position=stop)
        told = explained(error, step=step, newest=newest, documents=documents, command=command)
        self.add(
            Trouble(
                kind="diverged" if isinstance(error, DivergedError) else "no targets",
                step=step,
                first_position=first,
                stop_position=stop,
                message=str(told),
                command=command,
                documents=documents.documents,
                document_count=documents.count,
            )
        )
        raise told from error

    def position(self) -> tuple[int, str]:
        """What a checkpoint remembers of the log: its length and its hash."""
        return (0, EMPTY_XXH3) if self._log is None else self._log.position()

    def sync(self) -> None:
        """All of the log so far on the disk, which a checkpoint that remembers it needs; from any thread."""
        if self._log is not None:
            self._log.sync()

    def close(self) -> None:
        if self._log is not None:
            self._log.close()

    def _trace(self, batches: Step) -> BatchDocuments:
        if self._tracer is None:
            return BatchDocuments()
        return self._tracer(batches.first_position, batches.stop_position)
