"""A store in another project's format: a directory of files, and a manifest that says what they came from.

    OUT/train.bin …        the files of each split that has documents
    OUT/tokenizer.json     the store's vocabulary, where it has one
    OUT/manifest.json      written last: format, store fingerprint, vocabulary, counts, size and sha256 of every file

Guarantee: the manifest is there only when everything is; killed before, the same call writes everything again; a
finished export is found finished; a directory with other things in it is refused. What the format cannot hold is
listed in `left_out`. Price: one pass over the store and one over what was written; memory of one block.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from batchwright.adapters.megatron import export_megatron
from batchwright.adapters.nanogpt import export_nanogpt
from batchwright.adapters.parquet import export_parquet
from batchwright.foundation.errors import CorruptDataError, InputError, nearest
from batchwright.foundation.files import (
    WriterLock,
    read_json,
    remove_temporaries,
    safe_name,
    translated,
    write_atomic,
    write_json,
)
from batchwright.foundation.fingerprint import sha256_file
from batchwright.tokens.manifest import MANIFEST, SPLITS
from batchwright.tokens.store import TOKENIZER, StoreSplit, TokenStore

FORMAT = "batchwright-export"
VERSION = 1
Exchange = Literal["megatron", "nanogpt", "parquet"]
_WRITERS: Mapping[Exchange, Callable[[TokenStore, StoreSplit, Path], list[str]]] = {
    "megatron": export_megatron,
    "nanogpt": export_nanogpt,
    "parquet": export_parquet,
}
_HOLDS_MASKS = ("parquet",)
_MARK = ".export.json"


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A finished export: its directory and its manifest."""

    directory: Path
    manifest: dict[str, Any]
    found_finished: bool


def export_store(
    store: TokenStore, out: Path, *, to: Exchange, progress: Callable[[int, int], None] | None = None
) -> Exported:
    """Write every split that has documents; `progress` hears (tokens written, tokens).

    Raises InputError (unknown format, another thing at `out`, a number that the format cannot hold), CorruptDataError,
    LockedError, ResourceError (disk full; free some space and call again).
    """
    if to not in get_args(Exchange):
        raise InputError(
            f"there is no format {to!r}; there are {', '.join(get_args(Exchange))}",
            remedy=nearest(to, get_args(Exchange)),
        )
    job = {"format": FORMAT, "version": VERSION, "to": to, "store": store.fingerprint}
    if (out / MANIFEST).exists():
        return Exported(directory=out, manifest=_finished(out, job), found_finished=True)
    _refuse_foreign(out, job)
    with WriterLock(out):
        write_json(out / _MARK, job)
        remove_temporaries(out)
        splits: dict[str, Any] = {}
        done = 0
        for name in SPLITS:
            split = store.split(name)
            if split.document_count == 0:
                continue
            written = _WRITERS[to](store, split, out)
            splits[name] = {
                "documents": split.document_count,
                "tokens": split.token_count,
                "files": [_entry(out / file) for file in written],
            }
            done += split.token_count
            if progress is not None:
                progress(done, store.token_count)
        files = []
        if TOKENIZER in store.manifest.files:
            write_atomic(out / TOKENIZER, (store.directory / TOKENIZER).read_bytes())
            files.append(_entry(out / TOKENIZER))
        masked = any(shard.mask is not None for split in store.splits.values() for shard in split.shards)
        manifest = {
            **job,
            "vocabulary_size": store.vocabulary_size,
            "eot_id": store.eot_id,
            "tokenizer": store.manifest.tokenizer,
            "sources": list(store.manifest.sources),
            "splits": splits,
            "files": files,
            "left_out": ["loss mask"] if masked and to not in _HOLDS_MASKS else [],
        }
        write_json(out / MANIFEST, manifest)
        with translated(out):
            (out / _MARK).unlink()
    return Exported(directory=out, manifest=manifest, found_finished=False)


def export_manifest(directory: Path) -> dict[str, Any] | None:
    """The manifest of an export that lies here, or None."""
    if not (directory / MANIFEST).is_file():
        return None
    value = read_json(directory / MANIFEST)
    return value if isinstance(value, dict) and value.get("format") == FORMAT else None


def _entry(path: Path) -> dict[str, Any]:
    return {"name": path.name, "bytes": path.stat().st_size, "sha256": sha256_file(path)}


def _finished(out: Path, job: dict[str, Any]) -> dict[str, Any]:
    """The manifest of the same export, its files all there. Raises InputError when it is another one."""
    before = export_manifest(out)
    differs = [name for name, value in job.items() if before is None or before.get(name) != value]
    if before is None or differs:
        raise InputError(
            "there is already something else here, and it is not overwritten; "
            + ("it is no export" if before is None else f"its {', '.join(differs)} differ"),
            where=str(out),
            remedy="export into another directory, or remove this one",
        )
    entries = [*before["files"], *(file for split in before["splits"].values() for file in split["files"])]
    for entry in entries:
        path = out / safe_name(entry["name"])
        if not path.exists() or path.stat().st_size != entry["bytes"]:
            raise CorruptDataError(
                "a file of this export is missing or has another size than its manifest says",
                where=str(path),
                remedy="remove the directory and export again",
            )
    return before


def _refuse_foreign(out: Path, job: dict[str, Any]) -> None:
    if not out.is_dir():
        return
    with translated(out):
        foreign = sorted(path.name for path in out.iterdir() if path.name != ".lock")
    begun = (out / _MARK).exists()
    if foreign and not (begun and read_json(out / _MARK) == job):
        foreign = ["an unfinished export of another store or to another format"] if begun else foreign
        raise InputError(
            f"the directory holds other things ({foreign[0]})",
            where=str(out),
            remedy="choose a directory that is empty or does not exist",
        )
