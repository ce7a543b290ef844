"""What the readers of other formats share: ids as a memory map, and documents cut into blocks.

Guarantee: a file whose size is no whole number of ids is refused; blocks hold whole documents, in order, about
`BLOCK_IDS` ids each (a longer document is a block alone, a view of the map, so its length costs no memory). Price: a
block is a view; nothing is read before somebody looks at it.
"""

import glob
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from batchwright.foundation.errors import CorruptDataError, InputError
from batchwright.foundation.files import translated
from batchwright.tokens.id_blocks import IdBlock

BLOCK_IDS = 1 << 20


def mapped(path: Path, dtype: DTypeLike, offset: int = 0, count: int | None = None) -> NDArray[Any]:
    """A file's items, read-only, from byte `offset` on. Raises InputError (not there), CorruptDataError (cut short)."""
    item = np.dtype(dtype)
    with translated(path):
        size = path.stat().st_size - offset
        if count is None and size % item.itemsize:
            raise CorruptDataError(
                f"the file holds {size:,} bytes, which is no whole number of {item.itemsize}-byte ids", where=str(path)
            )
        wanted = size // item.itemsize if count is None else count
        if size < wanted * item.itemsize:
            raise CorruptDataError(
                f"the file ends after {size + offset:,} bytes, {wanted * item.itemsize + offset:,} are needed",
                where=str(path),
            )
        if wanted == 0:
            return np.empty(0, item)
        return np.memmap(path, item, mode="r", offset=offset, shape=(wanted,))


def blocks_of(
    ids: NDArray[Any], begin: int, ends: NDArray[np.int64], first: int, block_ids: int = BLOCK_IDS
) -> Iterator[IdBlock]:
    """Documents that lie end to end in `ids`: the first begins at item `begin`, each ends at its exclusive end; `first`
    is the number of the first in its file."""
    starts = np.concatenate([np.array([begin], np.int64), ends[:-1]])
    done = 0
    while done < ends.shape[0]:
        stop = max(done + 1, int(np.searchsorted(ends, starts[done] + block_ids, "right")))
        low, high = int(starts[done]), int(ends[stop - 1])
        offsets = np.concatenate([starts[done:stop], ends[stop - 1 : stop]]) - low
        yield IdBlock(ids=ids[low:high], offsets=offsets, places=starts[done:stop], first=first + done)
        done = stop


def found(paths: Sequence[str], suffix: str) -> list[Path]:
    """The files that paths mean: files, directories (their files with this suffix, sorted) or globs. Raises InputError
    when one of them names nothing."""
    files: list[Path] = []
    for path in paths:
        place = Path(path).expanduser()
        if place.is_dir():
            here = sorted(each for each in place.iterdir() if each.name.endswith(suffix) and each.is_file())
        elif place.exists():
            here = [place]
        else:
            here = [Path(each) for each in sorted(glob.glob(str(place)))]
        if not here:
            raise InputError(
                f"there is no {suffix} file" if place.is_dir() else "there is no such file or directory",
                where=path,
                remedy=f"give a {suffix} file, a directory of them, or a glob",
            )
        files += here
    return files
