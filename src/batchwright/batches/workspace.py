"""What one thread needs to make batches: buffers in a ring and scratch for certificates.

Guarantee: a buffer is written again only after `ring` others were taken; nothing is allocated while steps keep their
shape. A larger step (a batch schedule) lengthens a ring that follows the step, another T or micro-batch begins a new
one. Price: 13 to 25 bytes per slot and buffer, see `buffers`.
"""

from typing import Any

import numpy as np

from batchwright.batches.buffers import Allocate, BatchArrays, new_arrays
from batchwright.batches.certificate import Certifier
from batchwright.batches.geometry import BatchGeometry


class Workspace:
    """`ring` None: as many buffers as a step has micro-batches. `ahead` more are for batches made before they are asked
    for. `reuse=False`: every batch has memory of its own."""

    def __init__(
        self,
        *,
        dtype: np.dtype[Any],
        allocate: Allocate | None,
        certify: bool,
        ring: int | None = None,
        ahead: int = 0,
        reuse: bool = True,
    ) -> None:
        self._dtype, self._allocate, self._certify = dtype, allocate, certify
        self._ring, self._ahead, self._reuse = ring, ahead, reuse
        self._buffers: list[BatchArrays] = []
        self._shape = 0, 0
        self._next = 0
        self._certifier: Certifier | None = None

    def enter(self, geometry: BatchGeometry) -> None:
        """Be ready for a step of this geometry."""
        shape = geometry.micro_batch_size, geometry.sequence_length
        if shape != self._shape:
            self._shape, self._buffers, self._next = shape, [], 0
            self._certifier = Certifier(geometry.sequence_length) if self._certify else None
        if self._reuse:
            wanted = (geometry.accumulation if self._ring is None else self._ring) + self._ahead
            # New buffers come next: those in use are then older, and stay valid the longer.
            while len(self._buffers) < wanted:
                self._buffers.insert(self._next, self._new())

    def take(self) -> BatchArrays:
        """The next buffer."""
        if not self._reuse:
            return self._new()
        buffer = self._buffers[self._next]
        self._next = (self._next + 1) % len(self._buffers)
        return buffer

    @property
    def certifier(self) -> Certifier | None:
        return self._certifier

    def _new(self) -> BatchArrays:
        return new_arrays(*self._shape, self._dtype, self._allocate, read_soon=self._certify)
