"""Ids that somebody else made become a token store: `store_ids`.

Guarantee: the store is there whole or not at all. It is written aside (`.work/`), its shards renamed and its manifest
written last; killed before that, the same call begins anew and writes the same bytes; a finished store is found
finished; another job at that place is refused by name. The bytes depend on the ids and the settings alone. Ids are
taken as they are: nothing is cleaned, deduplicated or shuffled. Price: ~0.1 G ids per CPU-second, hashing included; at
most ~16 MiB of memory, however long a document is.
"""

import os
import platform
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from batchwright.documents.inputs import InputFile
from batchwright.documents.tally import Tally
from batchwright.foundation.errors import CorruptDataError, InputError
from batchwright.foundation.files import (
    WriterLock,
    read_json,
    remove_temporaries,
    sync_directory,
    translated,
    write_atomic,
    write_json,
)
from batchwright.foundation.fingerprint import sha256_file
from batchwright.tokens.claim import JOB, WORK, refuse_changes, refuse_foreign_directory
from batchwright.tokens.id_blocks import GivenIds, IdBlock
from batchwright.tokens.id_shards import IdShards
from batchwright.tokens.job import NamedInput, describe_tokenizer, name_inputs
from batchwright.tokens.manifest import MANIFEST, SPLITS, FileEntry, ShardEntry, StoreManifest
from batchwright.tokens.store import INPUTS, PROVENANCE_FILE, TOKENIZER, TokenStore
from batchwright.tokens.tokenizer import Tokenizer
from batchwright.tokens.unknown import UnknownVocabulary

Progress = Callable[[int, int], None]
"""(bytes of ids laid, bytes of ids)."""


class IdFile(Protocol):
    """Documents in one or more files that belong together, in a format that the reader knows."""

    @property
    def parts(self) -> Sequence[Path]:
        """The files, the one that places count in first."""
        ...

    def blocks(self, given: GivenIds) -> Iterable[IdBlock]:
        """All documents in order. Raises InputError, CorruptDataError."""
        ...


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What the manifest says about where the ids came from."""

    format: str
    name: str
    licence: str


@dataclass(frozen=True, kw_only=True)
class _Split:
    split: str
    file: IdFile
    line: int
    """Of inputs.jsonl, of the file's first part."""


def store_ids(
    files: Mapping[str, Sequence[IdFile]],
    out: Path,
    *,
    vocabulary: Tokenizer | UnknownVocabulary,
    origin: Origin,
    masked: bool = False,
    shard_tokens: int = 2**27,
    progress: Progress | None = None,
) -> TokenStore:
    """A store at `out` of the documents in `files`: split → files, in order.

    Raises InputError (ids outside the vocabulary, another job at `out`, nothing to store), CorruptDataError (a file
    that contradicts itself), LockedError, ResourceError (disk full).
    """
    if shard_tokens < 1:
        raise InputError(f"shard_tokens is {shard_tokens}; a shard holds at least 1 token")
    given = GivenIds(vocabulary_size=vocabulary.vocabulary_size, eot_id=vocabulary.eot_id, masked=masked)
    inputs, splits = _named(files)
    description: dict[str, Any] = {
        "recipe": {"import": origin.format, "masked": masked, "shard_tokens": shard_tokens},
        "tokenizer": describe_tokenizer(vocabulary),
        "sources": [{"name": origin.name, "licence": origin.licence, "format": origin.format}],
    }
    listing = b"".join(named.line for named in inputs)
    if (out / MANIFEST).exists():
        return _finished(out, description, listing)
    refuse_foreign_directory(out, {WORK, ".lock", INPUTS, TOKENIZER})
    with WriterLock(out):
        if (out / MANIFEST).exists():
            return _finished(out, description, listing)
        began = time.time()
        _begin(out, description, listing)
        entries, tally = _lay(out / WORK, splits, given, shard_tokens, inputs, progress or (lambda done, total: None))
        for named in inputs:
            named.check_unchanged()
        _publish(out, vocabulary, given, entries, tally, description, listing, began)
    return TokenStore.open(out)


def _named(files: Mapping[str, Sequence[IdFile]]) -> tuple[list[NamedInput], list[_Split]]:
    """Every part named by its content, and the files in order of their splits."""
    splits: list[_Split] = []
    parts: list[Path] = []
    for split in SPLITS:
        for file in files.get(split, ()):
            splits.append(_Split(split=split, file=file, line=len(parts)))
            parts += file.parts
    # Names relative to what they share, as `discover` gives them: a moved directory is the same input.
    home = os.path.commonpath([part.resolve().parent for part in parts]) if parts else ""
    found = [
        InputFile(
            source=0,
            path=os.path.relpath(part.resolve(), home).replace(os.sep, "/"),
            size=0,
            location=str(part),
            format="auto",
            compression="",
            text_column="",
        )
        for part in parts
    ]
    return name_inputs(found, lambda size: None), splits


def _finished(out: Path, description: dict[str, Any], listing: bytes) -> TokenStore:
    store = TokenStore.open(out)
    manifest = store.manifest
    before = {"recipe": manifest.recipe, "tokenizer": manifest.tokenizer, "sources": list(manifest.sources)}
    refuse_changes(out, before, description, (out / INPUTS).read_bytes(), listing)
    if (out / WORK).exists():
        with WriterLock(out), translated(out):
            shutil.rmtree(out / WORK)
    return store


def _begin(out: Path, description: dict[str, Any], listing: bytes) -> None:
    """Write down what is being done, or check that it is what was begun; then begin anew."""
    work = out / WORK
    if (work / JOB).exists():
        before = read_json(work / JOB)
        if not isinstance(before, dict) or not (out / INPUTS).exists():
            raise CorruptDataError(
                "the record of the unfinished import is damaged", where=str(work / JOB), remedy="remove the directory"
            )
        refuse_changes(out, before, description, (out / INPUTS).read_bytes(), listing)  # pyright: ignore[reportUnknownArgumentType]
    remove_temporaries(out)
    with translated(work):
        work.mkdir(parents=True, exist_ok=True)
        for path in work.iterdir():
            if path.name != JOB:
                path.unlink()
    write_atomic(out / INPUTS, listing)
    write_json(work / JOB, description)


def _lay(
    work: Path,
    splits: Sequence[_Split],
    given: GivenIds,
    shard_tokens: int,
    inputs: Sequence[NamedInput],
    progress: Progress,
) -> tuple[list[ShardEntry], Tally]:
    entries: list[ShardEntry] = []
    tally = Tally()
    total, done = sum(inputs[each.line].file.size for each in splits), 0
    for split in SPLITS:
        with IdShards(work, split, given, first_shard=len(entries), shard_tokens=shard_tokens) as shards:
            for each in splits:
                if each.split != split:
                    continue
                for block in each.file.blocks(given):
                    shards.append(block, file=each.line, where=inputs[each.line].file.location)
                    progress(min(done + int(block.ids.nbytes), total), total)
                    done += int(block.ids.nbytes)
        entries += shards.entries
        tally.merge(shards.tally)
    tally.check()
    if not entries:
        raise InputError(
            f"no document is left to store: {tally.read.documents:,} read, all of them empty",
            where=", ".join(named.file.location for named in inputs),
        )
    return entries, tally


def _publish(
    out: Path,
    vocabulary: Tokenizer | UnknownVocabulary,
    given: GivenIds,
    entries: Sequence[ShardEntry],
    tally: Tally,
    description: dict[str, Any],
    listing: bytes,
    began: float,
) -> None:
    side_files = [INPUTS]
    if not isinstance(vocabulary, UnknownVocabulary):
        vocabulary.save(out / TOKENIZER)
        side_files.append(TOKENIZER)
    for entry in entries:
        for kind in entry.files:
            with translated(out):
                (out / WORK / f"{entry.name}.{kind}").replace(out / f"{entry.name}.{kind}")
    with translated(out):
        sync_directory(out)
    packages = ("batchwright", "numpy", "pyarrow", "xxhash")
    write_json(
        out / PROVENANCE_FILE,
        {
            "versions": {"python": platform.python_version(), **{package: version(package) for package in packages}},
            "began": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(began)),
            "seconds": round(time.time() - began, 3),
        },
    )
    manifest = StoreManifest(
        tokenizer=description["tokenizer"],
        dtype=given.dtype.str,
        eot_id=given.eot_id,
        vocabulary_size=given.vocabulary_size,
        shards=tuple(entries),
        sources=tuple(description["sources"]),
        recipe=description["recipe"],
        tally=tally.to_dict(),
        files={
            name: FileEntry(bytes=(out / name).stat().st_size, sha256=sha256_file(out / name)) for name in side_files
        },
    )
    write_json(out / MANIFEST, manifest.to_json())
    with translated(out):
        shutil.rmtree(out / WORK)
