"""Evaluation texts do not get into the training data: documents that share a run of words with one are dropped.

    evaluation  "… the mitochondrion is the powerhouse of the cell because it makes most of its energy …"
    document    "He wrote: The mitochondrion is the powerhouse of the cell, because it makes most of its …"
                          └──────────────────────── 13 words alike ─────────────────────────┘  → contaminated

A word is a run of letters and digits, in lower case; where words are not spaced (Chinese, Thai …) a character. Runs of
13 words are those of GPT-3 (Brown et al. 2020, appendix C). Of JSONL every string of every record is a text; of
anything else the whole file. Texts with fewer words hold no such run and are not looked for.

Guarantee: a document's fate depends on its text and the evaluation files' content alone, every run is found whatever
stands around it, and the reason names the file and the words. Price: ~100 MB of text per CPU-second; 13 bytes of memory
in each worker per word of evaluation text. That a run is found that is not there (64-bit hashes): 10⁻⁴ for 10⁹ words of
text and 10⁶ of evaluation.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

import orjson

from batchwright.documents.document import Document
from batchwright.documents.pipeline import Dropped
from batchwright.foundation.errors import InputError
from batchwright.foundation.files import translated
from batchwright.foundation.fingerprint import hash_file

if TYPE_CHECKING:
    from batchwright.documents.word_runs import WordRuns

WORDS = 13


@dataclass(frozen=True, kw_only=True)
class EvaluationFile:
    """A file of texts that must not be trained on; its name and content are what it is, its place is not."""

    name: str
    xxh3: str
    location: str

    @classmethod
    def at(cls, path: Path) -> "EvaluationFile":
        """The file at a path. Raises InputError when there is none."""
        path = path.expanduser().absolute()  # workers elsewhere have another working directory
        with translated(path):
            _, xxh3 = hash_file(path)
        return cls(name=path.name, xxh3=xxh3, location=str(path))


@dataclass(frozen=True, kw_only=True)
class Decontamination:
    """Which files, and how many words alike are an overlap. A step; build it with `of`."""

    name: ClassVar[str] = "contaminated"

    files: tuple[EvaluationFile, ...]
    words: int = WORDS

    def __post_init__(self) -> None:
        if not self.files:
            raise InputError("decontamination without an evaluation file")
        if not 2 <= self.words <= 1000:
            raise InputError(f"an overlap of {self.words} words; it has 2 to 1,000", remedy=f"{WORDS}")

    @classmethod
    def of(cls, paths: Sequence[Path], words: int = WORDS) -> "Decontamination":
        """Of the files at these paths. Raises InputError: not there, or none of their texts is long enough."""
        made = cls(files=tuple(map(EvaluationFile.at, paths)), words=words)
        made.runs()
        return made

    @property
    def identity(self) -> dict[str, Any]:
        """What a store's bytes depend on."""
        return {"words": self.words, "files": [{"name": file.name, "xxh3": file.xxh3} for file in self.files]}

    @property
    def locations(self) -> list[str]:
        return [file.location for file in self.files]

    @classmethod
    def located(cls, identity: dict[str, Any], locations: Sequence[str]) -> "Decontamination":
        """That of an `identity`, its files where this process finds them."""
        files = (
            EvaluationFile(**file, location=place) for file, place in zip(identity["files"], locations, strict=True)
        )
        return cls(files=tuple(files), words=identity["words"])

    def runs(self) -> "WordRuns":
        """The runs of words of all files, read once per process."""
        return _runs(self)

    def __call__(self, document: Document) -> Document | Dropped:
        found = self.runs().first_in(document.utf8)
        if found is None:
            return document
        file, text = found
        return Dropped("contaminated", f"{self.files[file].name}: {text}")


@lru_cache(maxsize=1)
def _runs(decontamination: Decontamination) -> "WordRuns":
    from batchwright.documents.word_runs import WordRuns  # numba: 0.4 s, only where something is compared

    texts = (evaluation_texts(file) for file in decontamination.files)
    runs, counts = WordRuns.of(texts, decontamination.words)
    for file, count in zip(decontamination.files, counts, strict=True):
        if not count:
            raise InputError(
                f"no text of this evaluation file has {decontamination.words} words, so nothing would be found",
                where=file.location,
                remedy="a smaller --decontaminate-words, or another file",
            )
    return runs


def evaluation_texts(file: EvaluationFile) -> Iterator[bytes]:
    """Texts of an evaluation file. Raises InputError when it is not the one that was named, or no text."""
    with translated(file.location):
        content = Path(file.location).read_bytes()
        _, found = hash_file(Path(file.location))
    if found != file.xxh3:
        raise InputError("the evaluation file is not the one that the job began with", where=file.location)
    try:
        yield from _texts_in(content, is_jsonl=file.name.endswith((".jsonl", ".ndjson")))
    except UnicodeDecodeError as error:
        raise InputError(f"the evaluation file is not UTF-8: {error}", where=file.location) from error
    except InputError as error:
        raise error.within(file.location) from error


def _texts_in(content: bytes, *, is_jsonl: bool) -> Iterator[bytes]:
    if not is_jsonl:
        yield content.decode().encode()
        return
    for number, line in enumerate(content.split(b"\n"), 1):
        try:
            record = orjson.loads(line) if line.strip() else None
        except orjson.JSONDecodeError as error:
            raise InputError(f"line {number:,} of the evaluation file is no JSON: {error}") from error
        yield from (text.encode() for text in _strings(record))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        inner = cast("Mapping[str, Any]", value).values() if isinstance(value, dict) else cast("list[Any]", value)
        for each in inner:
            yield from _strings(each)
