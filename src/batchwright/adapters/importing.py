"""Pre-tokenized data becomes a store: which files, which vocabulary.

Guarantee: ids are taken as they are; the vocabulary is one that was named, that of the export they lie in, or unknown
and then of a named size, never guessed. Price: see `tokens.id_store`.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from batchwright.adapters.exporting import Exchange, export_manifest
from batchwright.adapters.megatron import megatron_files
from batchwright.adapters.nanogpt import NAMES, nanogpt_files
from batchwright.adapters.nanogpt import SUFFIX as BIN
from batchwright.adapters.parquet import IDS, parquet_files
from batchwright.foundation.errors import InputError
from batchwright.tokens.id_store import IdFile, Origin, Progress, store_ids
from batchwright.tokens.store import TOKENIZER, TokenStore
from batchwright.tokens.tokenizer import Tokenizer, open_tokenizer
from batchwright.tokens.unknown import UnknownVocabulary


def import_store(
    paths: Sequence[str],
    out: Path,
    *,
    form: Exchange,
    validation: Sequence[str] = (),
    tokenizer: str | None = None,
    eot_token: str | None = None,
    vocabulary_size: int | None = None,
    eot_id: int | None = None,
    ids_column: str = IDS,
    mask_column: str | None = None,
    dtype: str = "",
    name: str = "imported",
    licence: str = "unknown",
    shard_tokens: int = 2**27,
    progress: Progress | None = None,
) -> TokenStore:
    """A store of the documents at `paths` (train) and `validation`.

    A directory that `export` wrote names its vocabulary and its splits itself. `ids_column` and `mask_column` are for
    parquet, `dtype` for nanogpt. Raises what `store_ids` raises, and InputError when no vocabulary is known.
    """
    train, held_out = list(paths), list(validation)
    exported = export_manifest(Path(paths[0])) if len(paths) == 1 and Path(paths[0]).is_dir() else None
    if exported is not None:
        if exported["to"] != form:
            raise InputError(
                f"this is an export to {exported['to']}", where=paths[0], remedy=f"import {exported['to']} {paths[0]}"
            )
        splits = {split: value["files"] for split, value in exported["splits"].items()}
        train = [str(Path(paths[0]) / file["name"]) for file in splits.get("train", ())]
        held_out = held_out or [str(Path(paths[0]) / file["name"]) for file in splits.get("validation", ())]
        if tokenizer is None and vocabulary_size is None:
            copied = Path(paths[0]) / TOKENIZER
            tokenizer, eot_token = (
                (str(copied), exported["tokenizer"]["eot_token"]) if copied.exists() else (None, None)
            )
            vocabulary_size, eot_id = exported["vocabulary_size"], exported["eot_id"]
    elif form == "nanogpt" and not held_out:
        train, held_out = _split_as_nanogpt(train)
    vocabulary = vocabulary_named(tokenizer, eot_token=eot_token, vocabulary_size=vocabulary_size, eot_id=eot_id)
    files = {
        split: _files(places, form, ids_column, mask_column, dtype)
        for split, places in (("train", train), ("validation", held_out))
        if places
    }
    masks = {bool(getattr(file, "mask_column", "")) for of_split in files.values() for file in of_split}
    return store_ids(
        files,
        out,
        vocabulary=vocabulary,
        origin=Origin(format=form, name=name, licence=licence),
        masked=True in masks,
        shard_tokens=shard_tokens,
        progress=progress,
    )


def vocabulary_named(
    tokenizer: str | None, *, eot_token: str | None, vocabulary_size: int | None, eot_id: int | None
) -> Tokenizer | UnknownVocabulary:
    """A tokenizer by its place, or an unknown vocabulary of a named size. Raises InputError when neither is given, or
    when they contradict each other."""
    if tokenizer is None:
        if vocabulary_size is None or eot_id is None:
            raise InputError(
                "the ids' vocabulary is not known",
                remedy="--tokenizer FILE, or --vocabulary-size N --eot-id ID if there is no file",
            )
        return UnknownVocabulary(vocabulary_size=vocabulary_size, eot_id=eot_id)
    opened = open_tokenizer(tokenizer, engine="tokenizers", eot_token=eot_token)
    for what, said, found in (
        ("ids", vocabulary_size, opened.vocabulary_size),
        ("as the id of the end of text", eot_id, opened.eot_id),
    ):
        if said is not None and said != found:
            raise InputError(
                f"the tokenizer has {found:,} {what}, {said:,} was given",
                where=tokenizer,
                remedy="leave one of them out",
            )
    return opened


def _split_as_nanogpt(paths: Sequence[str]) -> tuple[list[str], list[str]]:
    """(train, validation): the `val.bin` of a directory is what nanoGPT validates on, so it is never trained on."""
    train, held_out = list[str](), list[str]()
    for path in paths:
        inside = sorted(map(str, Path(path).glob(f"*{BIN}"))) if Path(path).is_dir() else []
        held_out += [file for file in inside if Path(file).name == NAMES["validation"]]
        train += [file for file in inside if Path(file).name != NAMES["validation"]] or [path]
    return train, held_out


def _files(
    paths: Sequence[str], form: Exchange, ids_column: str, mask_column: str | None, dtype: str
) -> Sequence[IdFile]:
    makers: dict[Exchange, Callable[[], Sequence[IdFile]]] = {
        "megatron": lambda: megatron_files(paths),
        "nanogpt": lambda: nanogpt_files(paths, dtype),
        "parquet": lambda: parquet_files(paths, ids_column, mask_column),
    }
    if form not in makers:
        raise InputError(f"there is no format {form!r}; there are {', '.join(makers)}")
    return makers[form]()
