"""Pre-tokenized parquet: a row is a document, its ids a list, with a loss mask beside it if there is one.

    input_ids  list of whole numbers       loss_mask  list of the same length, 1 (or true) where the id is a target

Guarantee: read, every row is a document, whatever its integer type; a null inside a list, a mask of another length or
of other values, and a file that is cut short are refused by file and row. Written, lists hold uint16 or uint32 as the
store does, each closed by <endoftext>, one file per shard. Price: ~45 M ids per CPU-second written (zstd), ~70 M
imported; memory of one page and one block.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow  # pyright: ignore[reportMissingTypeStubs]
import pyarrow.compute  # pyright: ignore[reportMissingTypeStubs]
import pyarrow.parquet  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray

from batchwright.adapters.id_files import found
from batchwright.adapters.stored_documents import stored_blocks
from batchwright.foundation.errors import CorruptDataError, InputError, nearest
from batchwright.foundation.files import TEMPORARY_SUFFIX, sync_directory, translate, translated
from batchwright.foundation.units import MiB
from batchwright.tokens.id_blocks import GivenIds, IdBlock
from batchwright.tokens.store import StoreSplit, TokenStore

SUFFIX = ".parquet"
IDS, MASK = "input_ids", "loss_mask"
_ROWS = 1024
_BATCH_BYTES = 8 * MiB

# pyarrow ships no types, so what comes from it is Any.
pa: Any = pyarrow
pq: Any = pyarrow.parquet


@dataclass(frozen=True, kw_only=True)
class ParquetFile:
    """One file; `mask_column` "" means that the ids have no loss mask."""

    path: Path
    ids_column: str = IDS
    mask_column: str = ""

    @property
    def parts(self) -> Sequence[Path]:
        return (self.path,)

    def blocks(self, given: GivenIds) -> Iterator[IdBlock]:
        """The rows, in order."""
        file = open_parquet(self.path)
        names = [self.ids_column, *([self.mask_column] if self.mask_column else [])]
        for name in names:
            check_list_column(file, name, self.path)
        row = 0
        try:
            for group in range(file.metadata.num_row_groups):
                rows = _rows_at_once(file.metadata.row_group(group))
                for batch in file.iter_batches(rows, row_groups=[group], columns=names, use_threads=False):
                    yield self._block(batch, row)
                    row += batch.num_rows
        except (pa.ArrowException, OSError) as error:
            raise CorruptDataError(f"the file is damaged after row {row:,}: {error}", where=str(self.path)) from error

    def _block(self, batch: Any, row: int) -> IdBlock:
        ids, offsets = self._lists(batch, self.ids_column, row)
        mask = None
        if self.mask_column:
            mask, mask_offsets = self._lists(batch, self.mask_column, row)
            if not np.array_equal(offsets, mask_offsets):
                at = int(np.flatnonzero(np.diff(offsets) != np.diff(mask_offsets))[0])
                raise InputError(
                    f"row {row + at:,} has {int(np.diff(offsets)[at]):,} ids and a mask of "
                    f"{int(np.diff(mask_offsets)[at]):,}",
                    where=str(self.path),
                )
            if mask.shape[0] and not np.isin(mask, (0, 1)).all():
                at = row + int(np.searchsorted(offsets, np.flatnonzero((mask != 0) & (mask != 1))[0], "right")) - 1
                raise InputError(f"the mask of row {at:,} holds something else than 0 and 1", where=str(self.path))
        places = row + np.arange(batch.num_rows, dtype=np.int64)
        return IdBlock(ids=ids, offsets=offsets, places=places, first=row, mask=mask)

    def _lists(self, batch: Any, name: str, row: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """(values of all lists, offsets); a null list is an empty one."""
        column = batch.column(batch.schema.get_field_index(name))
        lengths = np.asarray(pa.compute.fill_null(pa.compute.list_value_length(column), 0)).astype(np.int64)
        values = column.flatten()
        if values.null_count:
            raise InputError(f"a list of column {name!r} in rows from {row:,} on holds a null", where=str(self.path))
        if pa.types.is_boolean(values.type):
            values = values.cast(pa.uint8())
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        return values.to_numpy(zero_copy_only=False), offsets


def parquet_files(paths: Sequence[str], ids_column: str = IDS, mask_column: str | None = None) -> list[ParquetFile]:
    """The files that paths mean. The mask's column is `loss_mask` where all files have one, or the one named."""
    files = found(paths, SUFFIX)
    if mask_column is None:
        have = [MASK in open_parquet(path).schema_arrow.names for path in files]
        mask_column = MASK if all(have) else ""
        if any(have) and not mask_column:
            raise InputError(
                f"some of these files have a column {MASK!r}, others none",
                where=str(files[have.index(False)]),
                remedy='name it with --mask-column, or leave all masks out with --mask-column ""',
            )
    return [ParquetFile(path=path, ids_column=ids_column, mask_column=mask_column) for path in files]


def _rows_at_once(group: Any) -> int:
    return max(1, min(_ROWS, _BATCH_BYTES * group.num_rows // max(1, group.total_byte_size)))


def open_parquet(path: Path) -> Any:
    """Raises InputError (not there), CorruptDataError (no parquet, or cut short)."""
    try:
        return pq.ParquetFile(str(path), buffer_size=MiB, pre_buffer=False, page_checksum_verification=True)
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise translate(error, path) from error
    except (pa.ArrowException, OSError) as error:
        raise CorruptDataError(f"this is no parquet file, or it is cut short: {error}", where=str(path)) from error


def check_list_column(file: Any, name: str, path: Path) -> None:
    """Raises InputError unless the column is a list of whole numbers (or booleans)."""
    schema = file.schema_arrow
    if name not in schema.names:
        meant = nearest(name, schema.names)
        raise InputError(
            f"there is no column {name!r}; there are {', '.join(schema.names)}",
            where=str(path),
            remedy=None if meant is None else f"--ids-column {meant}",
        )
    kind = schema.field(name).type
    listed = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    if not listed or not (pa.types.is_integer(kind.value_type) or pa.types.is_boolean(kind.value_type)):
        raise InputError(f"column {name!r} holds {kind}, expected lists of whole numbers", where=str(path))


def export_parquet(store: TokenStore, split: StoreSplit, directory: Path) -> list[str]:
    """Write one split, a file of its own for each shard; the names of the files."""
    one_by_one = [StoreSplit.of(split.name, (shard,), split.counts) for shard in split.shards]
    names = [f"{split.name}-{number:05d}{SUFFIX}" for number in range(len(one_by_one))]
    for name, part in zip(names, one_by_one, strict=True):
        _write(directory / name, part, pa.uint16() if store.manifest.dtype == "<u2" else pa.uint32())
    return names


def _write(path: Path, split: StoreSplit, item: Any) -> None:
    masked = split.shards[0].mask is not None
    columns = [(IDS, pa.large_list(item)), *([(MASK, pa.large_list(pa.uint8()))] if masked else [])]
    aside = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY_SUFFIX}")
    try:
        with translated(path):
            with pq.ParquetWriter(str(aside), pa.schema(columns), compression="zstd") as writer:
                for block in stored_blocks(split):
                    lists = [pa.LargeListArray.from_arrays(block.offsets, pa.array(np.asarray(block.ids)))]
                    if block.mask is not None:
                        lists.append(pa.LargeListArray.from_arrays(block.offsets, pa.array(np.asarray(block.mask))))
                    writer.write_table(pa.Table.from_arrays(lists, schema=pa.schema(columns)))
            with aside.open("rb+") as written:
                os.fsync(written.fileno())
            aside.replace(path)
            sync_directory(path.parent)
    finally:
        with suppress(OSError):
            aside.unlink(missing_ok=True)
