"""A source's paths become a sorted list of input files.

What counts as text? The name decides the format, the bytes decide whether it is text at all:

    .jsonl .ndjson                          one JSON object per line
    .json                                   the same if its first line is an object with the text column, else a text
    .parquet                                one row per document
    anything else                           one document per file, if it holds no NUL byte (else: dropped as binary)
    any of these + .gz or .zst              the same, decompressed while reading (parquet compresses itself)

A directory is walked in sorted order. Hidden files and directories (`.git`), `__pycache__`, broken links, sockets and
the like are left aside and counted by reason. Links to directories are followed, each real directory once, so that
loops end. A file named explicitly or matched by a glob is always read.

Guarantee: the list depends on the tree alone, and paths are relative to what was given, so a moved corpus is the same
corpus. Price: three `stat` per file; none is opened, except a .json for its first line, and until one file of a
directory proves to be text.
"""

import glob
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal, Self, get_args

import orjson

from batchwright.documents.lines import LINE_CAP_BYTES, lines
from batchwright.documents.streams import CHUNK_BYTES, Compression, DamagedStream, chunks
from batchwright.documents.tally import Tally
from batchwright.foundation.errors import BatchwrightError, InputError, nearest
from batchwright.foundation.files import translated

Format = Literal["auto", "text", "jsonl", "parquet"]

_COMPRESSIONS: dict[str, Compression] = {".gz": "gzip", ".zst": "zstd"}
_JSON = re.compile(r"\.json(\.gz|\.zst)?$", re.IGNORECASE)
_SNIFFED_BYTES = 8192


@dataclass(frozen=True, kw_only=True)
class TextSource:
    """A named origin of documents: files, directories or globs that share a licence and a text column.

    text_column: the key (JSONL) or column (parquet) that holds the text.
    format: "auto" goes by the file name; anything else overrules it for every file of this source.
    repeat: how often each document is stored for training; 1.5 stores every second one twice.
    """

    name: str
    paths: tuple[str, ...]
    text_column: str = "text"
    licence: str = "unknown"
    format: Format = "auto"
    repeat: float = 1.0

    def __post_init__(self) -> None:
        if not self.name:
            raise InputError("a source needs a name")
        if not self.paths:
            raise InputError(f"source '{self.name}' names no path", remedy="give a file, a directory or a glob")
        if not 1.0 <= self.repeat <= 100.0:
            raise InputError(
                f"source '{self.name}' is to be repeated {self.repeat} times; 1 to 100 times",
                remedy="a source that is to weigh less gets a weight in the recipe",
            )
        if "" in self.paths:  # a shell variable that was never set, and not the current directory
            raise InputError(f"source '{self.name}' names an empty path", remedy="'.' for the current directory")
        if self.format not in get_args(Format):
            guess = nearest(self.format, get_args(Format))
            raise InputError(
                f"source '{self.name}' has the unknown format '{self.format}'",
                remedy=f"'{guess}'" if guess else "one of " + ", ".join(get_args(Format)),
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class InputFile:
    """One file to read: number of its source, path as shown and ordered (relative, posix), real location, format."""

    source: int
    path: str
    size: int
    location: str
    format: Format
    compression: Compression
    text_column: str

    def to_dict(self) -> dict[str, Any]:
        """JSON, for tasks."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """The input file that `to_dict` wrote."""
        return cls(**value)


def discover(
    sources: Sequence[TextSource], *, tally: Tally | None = None, skip_unreadable: bool = False
) -> list[InputFile]:
    """The files of all sources, ordered by (source, path). What was left aside is counted in `tally.skipped_files`.

    Raises InputError when a path does not exist, a glob matches nothing, a directory holds nothing to read, or (unless
    `skip_unreadable`) one below a source may not be listed.
    """
    tally = Tally() if tally is None else tally
    search = _Search(tally, skip_unreadable)
    return [file for number, source in enumerate(sources) for file in _files_of(number, source, search)]


@dataclass(frozen=True, slots=True)
class _Search:
    """What counts what is left aside, and whether a directory that may not be listed is."""

    tally: Tally
    skip_unreadable: bool

    def names(self, directory: str, root: str) -> list[str]:
        try:
            with translated(directory):
                return sorted(os.listdir(directory))
        except InputError:
            if directory == root or not self.skip_unreadable:
                raise
            self.tally.skip_file("unreadable directory")
            return []


def _files_of(number: int, source: TextSource, search: _Search) -> list[InputFile]:
    expanded = [_expand(os.path.abspath(os.path.expanduser(path)), source, search) for path in source.paths]
    root = os.path.commonpath([root for root, _ in expanded])
    locations = [location for _, found in expanded for location in found]
    unique = set(locations)
    for _ in range(len(locations) - len(unique)):
        search.tally.skip_file("given twice")
    files = (_input_file(number, source, os.path.relpath(location, root), location) for location in unique)
    return sorted(files, key=lambda file: file.path)


def _input_file(number: int, source: TextSource, relative: str, location: str) -> InputFile:
    with translated(location):
        size = os.stat(location).st_size
    path = relative.replace(os.sep, "/")
    kind, compression = format_of(path)
    if kind == "text" and _JSON.search(path) and _begins_with_record(location, compression, source.text_column):
        kind = "jsonl"
    return InputFile(
        source=number,
        path=path,
        size=size,
        location=location,
        format=kind if source.format == "auto" else source.format,
        compression=compression,
        text_column=source.text_column,
    )


def format_of(path: str) -> tuple[Format, Compression]:
    """The format and compression that a file name promises."""
    stem, suffix = os.path.splitext(path.lower())
    compression = _COMPRESSIONS.get(suffix, "")
    inner = os.path.splitext(stem)[1] if compression else suffix
    if inner in (".jsonl", ".ndjson"):
        return "jsonl", compression
    return ("parquet", "") if suffix == ".parquet" else ("text", compression)


def _expand(path: str, source: TextSource, search: _Search) -> tuple[str, list[str]]:
    """(directory that paths are shown relative to, files) of one path of a source."""
    if os.path.isdir(path):
        return path, _directory(path, source, search)
    if os.path.lexists(path):
        return os.path.dirname(path), [_regular(path)]
    if glob.has_magic(path):
        return _glob(path, source, search)
    parent = os.path.dirname(path)
    guess = nearest(os.path.basename(path), os.listdir(parent)) if os.path.isdir(parent) else None
    raise InputError(
        f"source '{source.name}' names a path that does not exist",
        where=path,
        remedy=os.path.join(parent, guess) if guess else "give a file, a directory or a glob that exists",
    )


def _regular(path: str) -> str:
    with translated(path):
        mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode):
        raise InputError("this is neither a file nor a directory", where=path, remedy="write its content to a file")
    if not _is_utf8(path):
        raise InputError("the name of this file is not UTF-8", where=repr(path), remedy="rename it")
    return path


def _directory(path: str, source: TextSource, search: _Search) -> list[str]:
    skipped = Tally()
    found = list(_walk(path, _Search(skipped, search.skip_unreadable)))
    search.tally.merge(skipped)
    if not any(source.format != "auto" or _may_hold_text(file) for file in found):
        left = ", ".join(f"{count} {reason}" for reason, count in sorted(skipped.skipped_files.items()))
        raise InputError(
            f"source '{source.name}': this directory holds no readable text "
            f"({len(found)} binary or unreadable files{'; left aside: ' + left if left else ''})",
            where=path,
            remedy="give a directory with text, .jsonl or .parquet files, or name the files themselves",
        )
    return found


def _walk(root: str, search: _Search) -> Iterator[str]:
    """Every file below `root`, depth first, names sorted."""
    visited: set[tuple[int, int]] = set()
    pending = [root]
    while pending:
        directory = pending.pop()
        with translated(directory):
            status = os.stat(directory)
        if (status.st_dev, status.st_ino) in visited:
            search.tally.skip_file("directory seen before (link)")
            continue
        visited.add((status.st_dev, status.st_ino))
        for name in search.names(directory, root):
            path = os.path.join(directory, name)
            reason = _reason_to_skip(name, path)
            if reason:
                search.tally.skip_file(reason)
            elif os.path.isdir(path):
                pending.append(path)
            else:
                yield path


def _reason_to_skip(name: str, path: str) -> str | None:
    if name.startswith(".") or name == "__pycache__":
        return "hidden"
    if not _is_utf8(name):
        return "name is not UTF-8"
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return "broken link" if os.path.islink(path) else "unreadable"
    return None if stat.S_ISREG(mode) or stat.S_ISDIR(mode) else "not a regular file"


def _glob(pattern: str, source: TextSource, search: _Search) -> tuple[str, list[str]]:
    plain = Path(pattern)
    while glob.has_magic(str(plain)):
        plain = plain.parent
    by_place: dict[str, str] = {}
    for match in sorted(_matches(pattern)):
        for path in _walk(match, search) if os.path.isdir(match) else (match,):
            # A link shows a file a second time: its real place is read once.
            if os.path.exists(path):
                by_place.setdefault(os.path.realpath(path), path)
    if not by_place:
        raise InputError(f"source '{source.name}': no file matches this pattern", where=pattern)
    return str(plain), [_regular(path) for path in by_place.values()]


def _matches(pattern: str) -> set[str]:
    """What a pattern matches. `**` stands for each real directory once: Python's own follows links, and two of them
    that loop are more paths than can be counted."""
    before, stars, after = pattern.partition(f"{os.sep}**")
    if not stars or (after and not after.startswith(os.sep)):
        return set(glob.glob(pattern))
    found: set[str] = set()
    visited: set[str] = set()
    for place in glob.glob(before or os.sep):
        for directory, below, _ in os.walk(place, followlinks=True):
            real = os.path.realpath(directory)
            below[:] = [] if real in visited else sorted(name for name in below if not name.startswith("."))
            if real not in visited:
                visited.add(real)
                found |= _matches(glob.escape(directory) + (after or f"{os.sep}*"))
    return found


def _begins_with_record(location: str, compression: Compression, text_column: str) -> bool:
    """Whether a .json file is really JSON lines, as C4's are: configuration and other data are read as texts."""
    try:
        beginning = islice(chunks(location, compression), LINE_CAP_BYTES // CHUNK_BYTES)  # what a first line may take
        numbered = lines(beginning, too_long=lambda offset, length: None)
        record: Any = orjson.loads(next(numbered)[1])
    except (BatchwrightError, DamagedStream, StopIteration, ValueError):
        return False
    return isinstance(record, dict) and isinstance(record.get(text_column), str)  # pyright: ignore[reportUnknownMemberType]


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _may_hold_text(path: str) -> bool:
    kind, compression = format_of(path)
    if kind != "text" or compression:
        return True
    try:
        with open(path, "rb") as file:
            return b"\0" not in file.read(_SNIFFED_BYTES)
    except OSError:
        return False
