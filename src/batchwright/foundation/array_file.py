"""One array per file, and the file introduces itself.

Layout (little-endian): a header of 4,096 bytes, the payload, then one xxh3-64 per MiB of payload.

      0  magic "BATCHWRT", 8 bytes                        64  count of items, u8
      8  kind ("tokens", "documents", …), 16 ASCII bytes  72  payload bytes, u8
     24  format version, u4                               80  bytes per checksum block, u8
     28  header bytes, u4                                 88  xxh3-128 of the block checksums, 16 bytes
     32  dtype ("<u2", …), 32 ASCII bytes                104  xxh3-64 of the 104 bytes before, u8; the rest is zero

Guarantee: opening checks header, sizes and the checksums' own checksum (milliseconds at any size); a block of payload
is checked when it is first touched (`check`) or by `verify`; any flipped bit, truncation or swapped kind is a
CorruptDataError, never wrong numbers. Price: 8 bytes per MiB, and ~60 µs to check a MiB once per process. Payloads
start on a page, so they are memory-mapped as they are.
"""

import mmap
import struct
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import xxhash
from numpy.typing import DTypeLike, NDArray

from batchwright.foundation.errors import CorruptDataError
from batchwright.foundation.files import AtomicFile, translated
from batchwright.foundation.units import MiB

MAGIC = b"BATCHWRT"
FORMAT_VERSION = 1
HEADER_BYTES = 4096
BLOCK_BYTES = MiB
_HEADER = struct.Struct("<8s16sII32sQQQ16s")
_SEAL = struct.Struct("<Q")


def dtype_name(dtype: np.dtype[Any]) -> str:
    """A dtype as text that fits the header: '<u2', or 'record:' and a hash for structured types."""
    if dtype.names is None:
        return dtype.str
    return "record:" + xxhash.xxh3_64_hexdigest(repr(dtype.descr).encode())


class ArrayFileWriter:
    """Append arrays; leaving the `with` block seals and publishes the file, an error leaves nothing behind."""

    def __init__(self, path: Path, kind: str, dtype: DTypeLike) -> None:
        self.dtype = np.dtype(dtype)
        if self.dtype.byteorder == ">":
            raise ValueError(f"array files are little-endian, not {self.dtype}")
        self.kind = kind
        self.count = 0
        self._file = AtomicFile(path)
        self._block = xxhash.xxh3_64()
        self._in_block = 0
        self._checksums = bytearray()

    def __enter__(self) -> Self:
        self._file.__enter__()
        try:
            self._file.write(bytes(HEADER_BYTES))
        except BaseException as failure:
            # No `with` block has begun that would end the file: a full disk must not leave it behind.
            self._file.__exit__(type(failure), failure, failure.__traceback__)
            raise
        return self

    def append(self, items: NDArray[Any]) -> None:
        """Append a one-dimensional array of exactly the file's dtype (casting is the caller's, checked, business)."""
        if items.dtype != self.dtype or items.ndim != 1:
            raise TypeError(f"expected a one-dimensional array of {self.dtype}, got {items.ndim} × {items.dtype}")
        view = np.ascontiguousarray(items).view(np.uint8).data
        self._file.write(view)
        self.count += items.shape[0]
        while len(view):
            part = view[: BLOCK_BYTES - self._in_block]
            self._block.update(part)
            self._in_block += len(part)
            view = view[len(part) :]
            if self._in_block == BLOCK_BYTES:
                self._end_block()

    def _end_block(self) -> None:
        self._checksums += _SEAL.pack(self._block.intdigest())
        self._block.reset()
        self._in_block = 0

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._seal()
        except BaseException as failure:
            self._file.__exit__(type(failure), failure, failure.__traceback__)
            raise
        self._file.__exit__(kind, error, traceback)

    def _seal(self) -> None:
        if self._in_block:
            self._end_block()
        self._file.write(bytes(self._checksums))
        header = _HEADER.pack(
            MAGIC,
            self.kind.encode("ascii"),
            FORMAT_VERSION,
            HEADER_BYTES,
            dtype_name(self.dtype).encode("ascii"),
            self.count,
            self.count * self.dtype.itemsize,
            BLOCK_BYTES,
            xxhash.xxh3_128_digest(self._checksums),
        )
        self._file.overwrite(0, header + _SEAL.pack(xxhash.xxh3_64_intdigest(header)))


@dataclass(frozen=True, kw_only=True, eq=False)
class ArrayFile:
    """An opened array file. `array` is a read-only memory map of all items; `unchecked[b]` is 1 until block b was
    checked."""

    path: Path
    kind: str
    dtype: np.dtype[Any]
    array: NDArray[Any]
    checksums: NDArray[np.uint64]
    unchecked: NDArray[np.uint8] = field(repr=False)

    @property
    def count(self) -> int:
        return self.array.shape[0]

    @classmethod
    def open(cls, path: Path, kind: str, dtype: DTypeLike | None = None) -> "ArrayFile":
        """Open and check everything but the payload.

        `dtype` is required for structured records and checked when given. Raises InputError (not there),
        CorruptDataError (anything else).
        """
        with translated(path), path.open("rb") as file:
            head = file.read(HEADER_BYTES)
            size = file.seek(0, 2)
        item, count, payload_bytes, seal = _read_header(path, head, kind, None if dtype is None else np.dtype(dtype))
        blocks = -(-payload_bytes // BLOCK_BYTES)
        expected = HEADER_BYTES + payload_bytes + 8 * blocks
        if size != expected:
            raise CorruptDataError(f"the file is {size:,} bytes long, its header says {expected:,}", where=str(path))
        checksums = np.fromfile(path, "<u8", blocks, offset=HEADER_BYTES + payload_bytes)
        if xxhash.xxh3_128_digest(checksums.tobytes()) != seal:
            raise CorruptDataError("the list of checksums at the end of the file is damaged", where=str(path))
        array = np.empty(0, item) if count == 0 else np.memmap(path, item, "r", HEADER_BYTES, (count,))
        return cls(
            path=path,
            kind=kind,
            dtype=item,
            # A plain view: np.memmap runs Python code for every slice taken of it.
            array=array.view(np.ndarray),
            checksums=checksums,
            unchecked=np.ones(blocks, np.uint8),
        )

    def check(self, first: int, stop: int) -> None:
        """Check the blocks that hold items first … stop-1, those not checked before. Raises CorruptDataError."""
        for block in self._unchecked_blocks(first, stop):
            self._check_block(block)

    def read_ahead(self, first: int, stop: int) -> None:
        """Have the system begin to read the blocks that `check` would read, and go on at once: asked for many places,
        a cold disk serves them together, where checking one after the other waits for each."""
        mapped: Any = getattr(self.array.base, "_mmap", None)
        if mapped is None or not hasattr(mmap, "MADV_WILLNEED"):
            return
        for block in self._unchecked_blocks(first, stop):
            # The mapping begins on the page that holds the payload's first byte, which is the payload's own.
            begin = block * BLOCK_BYTES
            mapped.madvise(mmap.MADV_WILLNEED, begin, min(BLOCK_BYTES, self.array.nbytes - begin))

    def _unchecked_blocks(self, first: int, stop: int) -> list[int]:
        if stop <= first:
            return []
        low, high = first * self.dtype.itemsize // BLOCK_BYTES, (stop * self.dtype.itemsize - 1) // BLOCK_BYTES
        return [block for block in range(low, high + 1) if self.unchecked[block]]

    def verify(self) -> None:
        """Read and check the whole payload. Raises CorruptDataError naming the first damaged block."""
        for block in range(self.checksums.shape[0]):
            self._check_block(block)

    def _check_block(self, block: int) -> None:
        payload = self.array.view(np.uint8)[block * BLOCK_BYTES : (block + 1) * BLOCK_BYTES]
        if xxhash.xxh3_64_intdigest(payload.data) != int(self.checksums[block]):
            offset = HEADER_BYTES + block * BLOCK_BYTES
            raise CorruptDataError(
                f"the {self.kind} in bytes {offset:,} to {offset + payload.shape[0]:,} do not match their checksum",
                where=str(self.path),
                remedy="restore the file from a copy, or prepare the store again",
            )
        self.unchecked[block] = 0


def _read_header(
    path: Path, head: bytes, kind: str, dtype: np.dtype[Any] | None
) -> tuple[np.dtype[Any], int, int, bytes]:
    """(dtype, items, payload bytes, seal of the checksums) from a header that is exactly as written."""

    def refuse(what: str) -> CorruptDataError:
        return CorruptDataError(what, where=str(path))

    if len(head) < HEADER_BYTES:
        raise refuse(f"the file is {len(head):,} bytes long, shorter than its header of {HEADER_BYTES:,}")
    if head[:8] != MAGIC:
        raise refuse("this is not a batchwright file (its first eight bytes are not BATCHWRT)")
    (_, found_kind, version, header_bytes, name, count, payload_bytes, block_bytes, seal) = _HEADER.unpack_from(head)
    if _SEAL.unpack_from(head, _HEADER.size)[0] != xxhash.xxh3_64_intdigest(head[: _HEADER.size]):
        raise refuse("the header is damaged (its checksum does not match)")
    if any(head[_HEADER.size + _SEAL.size :]):
        raise refuse("the header is damaged (its padding is not zero)")
    if version != FORMAT_VERSION:
        raise refuse(f"the file has format version {version}, this batchwright reads version {FORMAT_VERSION}")
    found = found_kind.rstrip(b"\0").decode("ascii", "replace")
    if found != kind:
        raise refuse(f"the file holds {found}, expected {kind}")
    text = name.rstrip(b"\0").decode("ascii", "replace")
    if dtype is None:
        if text.startswith("record:"):
            raise ValueError("a file of records is opened with its dtype")
        dtype = np.dtype(text)
    elif text != dtype_name(dtype):
        raise refuse(f"the file holds items of {text}, expected {dtype_name(dtype)}")
    if (header_bytes, block_bytes, payload_bytes) != (HEADER_BYTES, BLOCK_BYTES, count * dtype.itemsize):
        raise refuse("the header's numbers contradict each other")
    return dtype, count, payload_bytes, seal
