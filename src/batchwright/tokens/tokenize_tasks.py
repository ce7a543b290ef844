"""What `prepare_store` hands to an executor for its first stage: one task per partition, named by all that decides what
it writes.

Guarantee: a task's key is the hash of its parameters; where files lie and whatever else changes no byte stands in its
context. Price: ~20 µs a task.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from batchwright.documents.inputs import TextSource
from batchwright.documents.partitions import WHOLE, Partition
from batchwright.foundation.execution import Task
from batchwright.tokens import partial as partials_of
from batchwright.tokens.claim import WORK
from batchwright.tokens.deciding_versions import deciding_versions
from batchwright.tokens.job import NamedInput, PrepareSettings
from batchwright.tokens.repetition import Repetition
from batchwright.tokens.store import TOKENIZER
from batchwright.tokens.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class TokenizeTasks:
    """The tasks of one job."""

    settings: PrepareSettings
    sources: Sequence[TextSource]
    tokenizer: Tokenizer
    out: Path  # the store's directory
    keep_rejected: bool

    def task(self, part: Partition, inputs: Sequence[NamedInput]) -> Task:
        """Read, clean and tokenize one partition."""
        files = {number: inputs[number] for number in part.files}
        without = self.settings.decontamination
        return Task(
            function=partials_of.FUNCTION,
            parameters={
                "partition": part.to_dict(),
                "inputs": {
                    str(number): {**named.file.to_dict(), "location": named.xxh3} for number, named in files.items()
                },
                "steps": self.settings.to_json()["steps"],
                "errors": self.settings.errors,
                "tokenizer": {
                    "hash": self.tokenizer.hash,
                    "eot_token": self.tokenizer.eot_token,
                    "engine": self.tokenizer.engine,
                },
                "batchwright": version("batchwright"),
                **self._asked_for(),
            },
            context={
                "locations": {str(number): named.file.location for number, named in files.items()},
                "tokenizer_file": str(self.out / TOKENIZER),
                "versions": deciding_versions(self.settings.steps),
                "step_locations": [partials_of.step_locations(step) for step in self.settings.steps],
                **({"evaluation_files": without.locations} if without else {}),
            },
            output=str(self.out / WORK),
        )

    def _asked_for(self) -> dict[str, Any]:
        """Only what the job asks for is named, so that what a later version can do besides redoes no old work."""
        settings, repetition = self.settings, Repetition.of(self.sources, self.settings.seed)
        asked: dict[str, Any] = {}
        if settings.near_duplicates:
            asked["near_duplicates"] = settings.near_duplicates.to_json()
        if settings.infilling:
            asked["infilling"] = {"shares": asdict(settings.infilling), "seed": settings.seed}
        if repetition.repeats:
            asked["repetition"] = repetition.to_json()
        if settings.decontamination:
            asked["decontamination"] = settings.decontamination.identity
        if self.keep_rejected:
            asked["rejected"] = [source.name for source in self.sources]
        return asked


def readable(partitions: Sequence[Partition], inputs: Sequence[NamedInput]) -> list[Partition]:
    """The partitions without the files that cannot be read: they may be readable where a task runs, and no byte of a
    store depends on that."""
    pieces = (tuple(piece for piece in part.pieces if inputs[piece.file].xxh3 is not None) for part in partitions)
    return [Partition(each) for each in pieces if each]


def bytes_of(part: Partition, inputs: Sequence[NamedInput]) -> int:
    """Bytes of input that a partition reads (of parquet row groups: not known, so none)."""
    total = 0
    for piece in part.pieces:
        file = inputs[piece.file].file
        stop = file.size if piece.stop == WHOLE else piece.stop
        total += max(0, stop - piece.start) if file.format == "jsonl" or piece.stop == WHOLE else 0
    return total
