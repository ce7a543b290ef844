"""What is to be prepared, in the form in which two runs are compared (by `tokens.changes`): the same job goes on, a
changed one is refused by name.

Guarantee: equal jobs write equal stores. Price: every input file is read once to be named by its content, before it is
read to be tokenized.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from batchwright.documents.cleaning import DEFAULT_STEPS
from batchwright.documents.decontamination import Decontamination
from batchwright.documents.inputs import InputFile, TextSource
from batchwright.documents.near_duplicates import NearDuplicates
from batchwright.documents.pipeline import Step
from batchwright.documents.refusals import ErrorPolicy
from batchwright.foundation.errors import InputError
from batchwright.foundation.files import translated
from batchwright.foundation.fingerprint import hash_file
from batchwright.tokens.infilling import Infilling
from batchwright.tokens.partial import step_to_json
from batchwright.tokens.selection import Selection
from batchwright.tokens.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class PrepareSettings:
    """What decides a store's bytes beside its sources and vocabulary: the keywords of `build.prepare_store`."""

    validation_fraction: float = 0.0
    seed: int = 0
    errors: ErrorPolicy = "strict"
    shard_tokens: int = 2**27
    steps: Sequence[Step] = DEFAULT_STEPS
    near_duplicates: NearDuplicates | None = None
    against: Sequence[str] = ()  # fingerprints of the stores whose documents come first
    infilling: Infilling | None = None
    decontamination: Decontamination | None = None

    def __post_init__(self) -> None:
        if not 0.0 <= self.validation_fraction < 1.0:
            raise InputError(f"validation_fraction is {self.validation_fraction}; it lies between 0 and 1, 1 excluded")
        if self.shard_tokens < 1:
            raise InputError(f"shard_tokens is {self.shard_tokens}; a shard holds at least 1 token")
        if self.errors not in ("strict", "replace", "skip"):
            raise InputError(f"errors is {self.errors!r}; it is strict, replace or skip")

    @property
    def selection(self) -> Selection:
        return Selection(
            seed=self.seed,
            validation_fraction=self.validation_fraction,
            near_duplicates=self.near_duplicates,
            against=tuple(self.against),
        )

    def to_json(self) -> dict[str, Any]:
        """The manifest's `recipe`."""
        return {
            "deduplication": "exact",
            "errors": self.errors,
            "seed": self.seed,
            "shard_tokens": self.shard_tokens,
            "steps": [step_to_json(step) for step in self.steps],
            "validation_fraction": self.validation_fraction,
            # Said only where it is so: stores made without it keep their fingerprint.
            **({"against": list(self.against)} if self.against else {}),
            **({"near_duplicates": self.near_duplicates.to_json()} if self.near_duplicates else {}),
            **({"infilling": asdict(self.infilling)} if self.infilling else {}),
            **({"decontamination": self.decontamination.identity} if self.decontamination else {}),
        }


@dataclass(frozen=True, kw_only=True)
class NamedInput:
    """An input file with the hash of its content (None: it cannot be read, and such files are skipped), and its state
    on disk when that was computed.
    """

    file: InputFile
    xxh3: str | None
    modified_ns: int

    @property
    def line(self) -> bytes:
        """Its line of `inputs.jsonl`."""
        shown = {"source": self.file.source, "path": self.file.path, "bytes": self.file.size, "xxh3": self.xxh3}
        return orjson.dumps(shown) + b"\n"

    def check_unchanged(self) -> None:
        """Raises InputError when the file was written to since it was named."""
        with translated(self.file.location):
            state = Path(self.file.location).stat()
        if (state.st_size, state.st_mtime_ns) != (self.file.size, self.modified_ns):
            raise InputError(
                "this input file changed while it was being prepared",
                where=self.file.location,
                remedy="let whoever writes it finish, remove the unfinished store and prepare again",
            )


def name_inputs(
    files: Iterable[InputFile], progress: Callable[[int], None], errors: ErrorPolicy = "strict"
) -> list[NamedInput]:
    """Hash every input file; `progress` hears the bytes of each. Where the policy is to skip, one that may not be read
    has no hash."""
    named: list[NamedInput] = []
    for file in files:
        path = Path(file.location)
        with translated(path):
            modified_ns = path.stat().st_mtime_ns
        size, xxh3 = _hash(path, file.size, errors)
        named.append(
            NamedInput(file=InputFile.from_dict({**file.to_dict(), "size": size}), xxh3=xxh3, modified_ns=modified_ns)
        )
        progress(size)
    return named


def _hash(path: Path, size: int, errors: ErrorPolicy) -> tuple[int, str | None]:
    try:
        with translated(path):
            return hash_file(path)
    except InputError:
        if errors != "skip":
            raise
        return size, None


def describe_tokenizer(tokenizer: Tokenizer) -> dict[str, Any]:
    """The vocabulary as a manifest names it: whatever engine encoded with it."""
    return {
        "hash": tokenizer.hash,
        "eot_token": tokenizer.eot_token,
        "special_tokens": dict(tokenizer.special_tokens),
        "vocabulary_size": tokenizer.vocabulary_size,
    }


def describe_sources(sources: Sequence[TextSource]) -> list[dict[str, Any]]:
    """Sources as a manifest names them. Where they lie is no part of what they are: paths are in provenance.json."""
    described = [{name: value for name, value in asdict(source).items() if name != "paths"} for source in sources]
    for source in described:
        if source["repeat"] == 1.0:
            del source["repeat"]  # most are not repeated, and their stores stay what they were
    return described
