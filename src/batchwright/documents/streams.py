"""The bytes of a file in chunks, decompressed on the way.

Guarantee: memory is bounded by one chunk whatever the file unpacks to; gzip members and zstd frames that follow one
another are one stream; a stream that ends inside a member, fails its checksum or unpacks to more than
`RATIO_CAP` times its size (a bomb) raises; what was handed out before is sound, and
at most the last chunk (512 KiB) before the damage is lost with it.
Price: gzip ~0.4 GB/CPU-s, zstd ~1.5 GB/CPU-s of what comes out. A zstd window above
128 MiB (`--long=28` and up) is refused.
"""

import os
from collections.abc import Iterator
from typing import Any, Literal

from batchwright.foundation.files import translated
from batchwright.foundation.units import MiB

Compression = Literal["", "gzip", "zstd"]

CHUNK_BYTES = MiB // 2
RATIO_CAP = 512  # real text shrinks 3 to 20 times, logs and tables to about 100; bombs 1,000 (gzip), 30,000 (zstd)
RATIO_FREE_BYTES = 64 * MiB  # below this no ratio can do harm


class DamagedStream(Exception):
    """A compressed stream broke off; the reader knows the policy and turns this into its error."""


def chunks(location: str, compression: Compression, start: int = 0) -> Iterator[bytes]:
    """The content of a file from byte `start`, decompressed. Raises DamagedStream; OSErrors come translated."""
    if compression:
        assert start == 0, "a compressed stream is only read from its beginning"
        yield from _decompressed(location, compression)
        return
    with translated(location), open(location, "rb", buffering=0) as raw:
        raw.seek(start)
        while chunk := raw.read(CHUNK_BYTES):
            yield chunk


def expansion(location: str, compression: Compression, limit_bytes: int) -> float:
    """How many bytes come out of one byte on disk, as far as about the first `limit_bytes` of what comes out show.

    Raises DamagedStream.
    """
    if not compression:
        return 1.0
    import pyarrow  # pyright: ignore[reportMissingTypeStubs]

    pa: Any = pyarrow
    with translated(location), pa.OSFile(location, "rb") as raw:
        stream: Any = pa.CompressedInputStream(raw, compression)
        unpacked = 0
        while unpacked < limit_bytes and (chunk := _read(stream)):
            unpacked += len(chunk)
        return unpacked / max(1, raw.tell())


def _decompressed(location: str, compression: Compression) -> Iterator[bytes]:
    import pyarrow  # pyright: ignore[reportMissingTypeStubs]  # 0.1 s, only where something is compressed

    pa: Any = pyarrow

    with translated(location), pa.OSFile(location, "rb") as raw:
        if raw.size() == 0:
            raise DamagedStream("it has 0 bytes, and even nothing takes a few when compressed")
        # Arrow rather than the gzip and zstandard modules: one reader for both that bounds each read and tells a
        # stream that was cut short from one that ended, which zstandard's stream_reader does not.
        stream: Any = pa.CompressedInputStream(raw, compression)
        limit = max(RATIO_FREE_BYTES, RATIO_CAP * os.fstat(raw.fileno()).st_size)
        total = 0
        while chunk := _read(stream):
            total += len(chunk)
            if total > limit:
                raise DamagedStream(f"it unpacks to more than {RATIO_CAP} times its size, as a decompression bomb does")
            yield chunk


def _read(stream: Any) -> bytes:
    try:
        return stream.read(CHUNK_BYTES)
    except (OSError, ValueError) as error:
        raise DamagedStream(str(error).strip()) from error
