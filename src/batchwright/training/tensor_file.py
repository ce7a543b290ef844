"""Tensors as a safetensors file, written without a second copy of them and without holding Python's lock.

Guarantee: the file is what the safetensors library reads (8 bytes of length, a JSON header, the raw little-endian
numbers, no gap), on disk when `write_tensors` returns, and its size and xxh3-128 are those of the bytes written.
Wide numbers come first, so that everything is aligned. Price: hashing and the write call, ~1 s per GB on one core;
the library's own writer makes a copy of everything first.
"""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import xxhash
from torch import Tensor

from batchwright.foundation.errors import InputError
from batchwright.foundation.files import translated
from batchwright.foundation.units import MiB

DTYPE_NAMES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
_AT_ONCE = 8 * MiB


@dataclass(frozen=True, kw_only=True)
class TensorFileLayout:
    """Where each tensor's bytes stand behind the header."""

    header: bytes
    places: dict[str, tuple[int, int]]  # [first, stop) in the payload, in the order of the file
    payload_bytes: int


def layout_of(tensors: Mapping[str, Tensor]) -> TensorFileLayout:
    """The layout of a file of these. Raises InputError for numbers that safetensors does not know."""
    entries: dict[str, Any] = {}
    places: dict[str, tuple[int, int]] = {}
    end = 0
    for name in sorted(tensors, key=lambda name: (-tensors[name].element_size(), name)):
        tensor = tensors[name]
        if tensor.dtype not in DTYPE_NAMES:
            raise InputError(f"{name} is of {tensor.dtype}, which a checkpoint cannot hold")
        places[name] = (end, end + tensor.numel() * tensor.element_size())
        end = places[name][1]
        entries[name] = {
            "dtype": DTYPE_NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": list(places[name]),
        }
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return TensorFileLayout(header=len(text).to_bytes(8, "little") + text, places=places, payload_bytes=end)


def copy_into(buffer: Tensor, layout: TensorFileLayout, tensors: Mapping[str, Tensor]) -> None:
    """Lay the tensors into the first `payload_bytes` of a uint8 buffer, as the file will have them."""
    for name, (first, stop) in layout.places.items():
        tensor = tensors[name]
        buffer[first:stop].view(tensor.dtype).view(tensor.shape).copy_(tensor)


def bytes_of(layout: TensorFileLayout, tensors: Mapping[str, Tensor]) -> Iterable[memoryview]:
    """The payload out of the tensors themselves."""
    for name in layout.places:
        yield tensors[name].detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data


def write_tensors(path: Path, layout: TensorFileLayout, payload: Iterable[memoryview]) -> dict[str, Any]:
    """Write and sync a new file; returns its size and hash as a checkpoint seals them. Raises ResourceError."""
    digest, size = xxhash.xxh3_128(), 0
    with translated(path):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            for view in (memoryview(layout.header), *payload):
                for first in range(0, len(view), _AT_ONCE):
                    piece = view[first : first + _AT_ONCE]
                    digest.update(piece)
                    size += len(piece)
                    while len(piece):
                        piece = piece[os.write(descriptor, piece) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    return {"bytes": size, "xxh3": digest.hexdigest()}
