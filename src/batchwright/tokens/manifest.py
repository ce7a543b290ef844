"""What a token store says about itself: `manifest.json`, read and written in one place.

Guarantee: a manifest that opens is complete, of this format version, unchanged since it was written (its fingerprint
covers everything else in it, and through the seals and hashes every byte of the store), and none of its names leads
outside the directory. Times, versions and places are not in it but in `provenance.json`, so equal text, recipe and seed
give equal fingerprints on every machine.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

from batchwright.foundation.errors import CorruptDataError, InputError
from batchwright.foundation.files import read_json, safe_name
from batchwright.foundation.fingerprint import fingerprint

FORMAT = "batchwright-store"
VERSION = 1
MANIFEST = "manifest.json"
SPLITS = ("train", "validation")
SHARD_FILES = ("tokens", "documents", "provenance")
OPTIONAL_SHARD_FILES = ("mask", "signatures")

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class FileEntry:
    """A file's size, its sha256, and for an array file the seal in its header ("" for others)."""

    bytes: int
    sha256: str
    seal: str = ""

    def __post_init__(self) -> None:
        if not (_is_count(self.bytes) and isinstance(self.sha256, str) and isinstance(self.seal, str)):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise CorruptDataError(f"this describes no file: {asdict(self)}")


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Documents, their stored tokens (closing <endoftext> included, guards not) and bytes of cleaned text."""

    documents: int = 0
    tokens: int = 0
    text_bytes: int = 0

    def __post_init__(self) -> None:
        if min(self.documents, self.tokens, self.text_bytes) < 0:
            raise AssertionError(f"a negative count: {self}")

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            documents=self.documents + other.documents,
            tokens=self.tokens + other.tokens,
            text_bytes=self.text_bytes + other.text_bytes,
        )


@dataclass(frozen=True, kw_only=True)
class ShardEntry:
    """One shard as the manifest lists it."""

    name: str
    split: str
    documents: int
    tokens: int
    text_bytes: int
    files: Mapping[str, FileEntry]

    def __post_init__(self) -> None:
        safe_name(self.name)
        if self.split not in SPLITS:
            raise CorruptDataError(f"shard {self.name} is in split {self.split!r}, not one of {', '.join(SPLITS)}")
        if not set(SHARD_FILES) <= set(self.files) <= {*SHARD_FILES, *OPTIONAL_SHARD_FILES}:
            raise CorruptDataError(f"shard {self.name} lists the files {sorted(self.files)}")
        if not all(_is_count(count) for count in (self.documents, self.tokens, self.text_bytes)):
            raise CorruptDataError(f"shard {self.name} has a count that is not a whole number from 0 on")

    @property
    def counts(self) -> Counts:
        return Counts(documents=self.documents, tokens=self.tokens, text_bytes=self.text_bytes)


@dataclass(frozen=True, kw_only=True)
class StoreManifest:
    """The whole of `manifest.json`. `counts`, `splits` and `fingerprint` are derived, so they cannot contradict the
    shards.
    """

    tokenizer: Json
    dtype: str
    eot_id: int
    vocabulary_size: int
    shards: tuple[ShardEntry, ...]
    sources: tuple[Json, ...]
    recipe: Json
    tally: Json
    files: Mapping[str, FileEntry] = field(default_factory=dict[str, FileEntry])

    def __post_init__(self) -> None:
        for name in self.files:
            safe_name(name)
        if not all(_is_count(number) for number in (self.eot_id, self.vocabulary_size)):
            raise CorruptDataError("eot_id and vocabulary_size are whole numbers from 0 on")
        objects: tuple[Any, ...] = (self.tokenizer, self.recipe, self.tally, *self.sources)
        if not all(isinstance(part, dict) for part in objects):
            raise CorruptDataError("tokenizer, recipe, tally and every source are objects")
        if not {"hash", "eot_token"} <= set(self.tokenizer):
            raise CorruptDataError("the tokenizer has neither hash nor eot_token")
        if not self.sources or not all(isinstance(source.get("name"), str) for source in self.sources):
            raise CorruptDataError("a store has at least one source, and each has a name")
        if not 0 <= self.eot_id < self.vocabulary_size:
            raise CorruptDataError(f"eot_id {self.eot_id} is outside the vocabulary of {self.vocabulary_size:,}")
        if self.dtype not in ("<u2", "<u4"):
            raise CorruptDataError(f"unknown dtype {self.dtype!r}")

    def of_split(self, split: str) -> tuple[ShardEntry, ...]:
        return tuple(shard for shard in self.shards if shard.split == split)

    def counts(self, split: str | None = None) -> Counts:
        """Counts of one split, or of the whole store."""
        return sum((shard.counts for shard in self.shards if split in (None, shard.split)), Counts())

    def to_json(self) -> Json:
        """Everything, in the form that is stored; `fingerprint` is computed over the rest."""
        body: Json = {
            "format": FORMAT,
            "version": VERSION,
            **asdict(self),
            "counts": asdict(self.counts()),
            "splits": {split: asdict(self.counts(split)) for split in SPLITS},
        }
        return {**body, "fingerprint": fingerprint(body)}

    @property
    def fingerprint(self) -> str:
        return cast(str, self.to_json()["fingerprint"])

    @classmethod
    def open(cls, directory: Path) -> "StoreManifest":
        """Read and check a store's manifest. Raises InputError (no store there), CorruptDataError (anything else)."""
        path = directory / MANIFEST
        if not path.exists():
            raise InputError(
                "there is no finished token store here (no manifest.json)",
                where=str(directory),
                remedy="batchwright prepare SOURCES --out STORE; the same command again continues an interrupted one",
            )
        try:
            return _parse(read_json(path))
        except CorruptDataError as error:
            raise (error if error.where else error.within(str(path))) from error


def _parse(value: Any) -> StoreManifest:
    if not isinstance(value, dict):
        raise CorruptDataError("the manifest is not an object")
    body = cast(Json, value)
    if body.get("format") != FORMAT:
        raise CorruptDataError(f"this is not the manifest of a token store (format {body.get('format')!r})")
    if body.get("version") != VERSION:
        raise CorruptDataError(
            f"the store has format version {body.get('version')!r}, this batchwright reads version {VERSION}"
        )
    found = body.pop("fingerprint", None)
    try:
        if fingerprint(body) != found:
            raise CorruptDataError(f"the manifest was changed after it was written (its fingerprint is not {found})")
        manifest = StoreManifest(
            tokenizer=body["tokenizer"],
            dtype=body["dtype"],
            eot_id=body["eot_id"],
            vocabulary_size=body["vocabulary_size"],
            shards=tuple(_shard(entry) for entry in body["shards"]),
            sources=tuple(body["sources"]),
            recipe=body["recipe"],
            tally=body["tally"],
            files={name: FileEntry(**entry) for name, entry in body["files"].items()},
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise CorruptDataError(f"the manifest lacks something or holds something else: {error}") from error
    if manifest.fingerprint != found:
        raise CorruptDataError("the manifest's counts contradict its shards")
    return manifest


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _shard(entry: Json) -> ShardEntry:
    files = {kind: FileEntry(**file) for kind, file in cast("Mapping[str, Json]", entry.pop("files")).items()}
    return ShardEntry(**entry, files=files)
