"""One optimizer update's worth of data, as seen by one rank.

`targets` is the number of targets of the *global* batch, known before the first micro-batch is computed, because the
index knows every row's: a loss summed over micro-batches and ranks and divided by it is the loss of the whole batch,
however it was cut.
"""

from collections.abc import Iterator

from batchwright.batches.batch import Batch
from batchwright.batches.certificate import combined
from batchwright.batches.geometry import BatchGeometry
from batchwright.batches.schedule import StepPlace
from batchwright.foundation.errors import InputError


class Step:
    """Iterate once over it for the rank's micro-batches, `geometry.accumulation` of them."""

    def __init__(
        self, *, place: StepPlace, geometry: BatchGeometry, targets: int, batches: Iterator[Batch], certified: bool
    ) -> None:
        self.place = place
        self.geometry = geometry
        self.targets = targets
        self.batches = batches
        self._certified = certified
        self._certificates: list[int] = []
        self._taken = 0

    @property
    def first_position(self) -> int:
        """The position of the step's first sequence."""
        return self.place.first_position

    @property
    def stop_position(self) -> int:
        """The position after the step's last sequence; between the two some may be skipped (`place.spans`)."""
        return self.place.stop_position

    @property
    def sequences(self) -> int:
        """Sequences of the global batch."""
        return self.geometry.global_batch_size

    @property
    def tokens(self) -> int:
        """Slots of the global batch."""
        return self.geometry.tokens_per_step

    def __len__(self) -> int:
        return self.geometry.accumulation

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        batch = next(self.batches)
        self._taken += 1
        self._certificates.append(batch.certificate)
        return batch

    def drain(self) -> None:
        """Take the micro-batches that nobody asked for, so that the next step begins at its own."""
        for _ in self:
            pass

    @property
    def certificate(self) -> int:
        """Σ xxh3 of this rank's rows, once all of them were taken; the ranks' sum names the global batch."""
        if not self._certified:
            raise InputError("this loader makes no certificates", remedy="BatchLoader(…, certify=True)")
        if self._taken < len(self):
            raise InputError(
                f"{self._taken} of {len(self)} micro-batches were taken; the certificate covers all of them",
                remedy="ask for it after the loop over the step",
            )
        return combined(self._certificates)
