"""The curves of a run for TensorBoard, written from its log.

Guarantee: when a run is taken up again the events are written anew from the log, which was cut to the checkpoint, so
no step stands there twice after any number of kills. The event files can be deleted at any time. Needs the extra
`tensorboard`, not torch's own writer (no pickle, and 0.2 s to import instead of 2.5). Price: ~30 µs a step, and one
reading of the log per call.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from batchwright.foundation.extras import import_extra
from batchwright.foundation.files import translated
from batchwright.training.evaluation import Evaluation
from batchwright.training.run_log import read_log
from batchwright.training.run_records import Record
from batchwright.training.step import StepRecord
from batchwright.training.trainer import LOG_NAME

DIRECTORY_NAME = "tensorboard"
TRAINING = (
    "loss",
    "gradient_norm",
    "learning_rate",
    "sequences",
    "tokens",
    "tokens_per_second",
    "mfu",
    "peak_memory_bytes",
)
VALIDATION = ("loss", "bits_per_byte")


class TensorBoardEvents:
    """Hears every record of a run after it was logged. Raises MissingExtraError before anything is written."""

    def __init__(self, run: Path) -> None:
        self.directory = run / DIRECTORY_NAME
        self._log = run / LOG_NAME
        wanted_by = "TensorBoard's log"
        self._writer_module = import_extra("tensorboard.summary.writer.event_file_writer", wanted_by)
        self._event = import_extra("tensorboard.compat.proto.event_pb2", wanted_by).Event
        self._summary = import_extra("tensorboard.compat.proto.summary_pb2", wanted_by).Summary
        self._writer: Any = None

    def hear(self, record: Record) -> None:
        """Write one record; the first one heard brings all that stand before it in the log."""
        if self._writer is None:
            self._begin()
        elif isinstance(record, StepRecord):
            self._write({"kind": "step", **asdict(record)})
        elif isinstance(record, Evaluation):
            self._write({"kind": "evaluation", **asdict(record)})

    def close(self) -> None:
        """Make everything visible to readers."""
        (self._writer or self._begin()).close()

    def _begin(self) -> Any:
        """Forget what an earlier call wrote, and write the log as it is now."""
        with translated(self.directory):
            self.directory.mkdir(parents=True, exist_ok=True)
            for path in self.directory.glob("events.out.tfevents.*"):
                path.unlink()
        self._writer = self._writer_module.EventFileWriter(str(self.directory))
        for record in read_log(self._log):
            self._write(record)
        return self._writer

    def _write(self, record: Mapping[str, Any]) -> None:
        values = [self._summary.Value(tag=tag, simple_value=value) for tag, value in scalars_of(record)]
        if values:
            self._writer.add_event(
                self._event(wall_time=time.time(), step=record["step"], summary=self._summary(value=values))
            )


def scalars_of(record: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """(tag, value) of what a record of the log holds."""
    group, names = {"step": ("training", TRAINING), "evaluation": ("validation", VALIDATION)}.get(
        record["kind"], ("", ())
    )
    for name in names:
        value = record.get(name)
        if value is not None:
            yield f"{group}/{name}", float(value)
