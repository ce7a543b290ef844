"""From a model, a memory limit and a wished global batch to a geometry that fits, with the reason for every number.

Guarantee: the returned micro-batch fits by the closed form (`memory`) or by what is given in its stead, one more row
would not (or is not needed), and the global batch is the wished one, exactly. Price: a dozen evaluations of the
formula. It is a prediction: confirm the chosen size with one traced or real step, and never read "fits" as "best": on
a CPU the fastest micro-batch is often far smaller (`measuring.throughput`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from batchwright.batches.geometry import BatchGeometry
from batchwright.foundation.errors import InputError, ResourceError
from batchwright.foundation.units import format_bytes
from batchwright.model.config import ModelConfig
from batchwright.model.description import ModelDescription
from batchwright.planning.memory import StepMemory, step_memory
from batchwright.planning.moments import LossForm

MemoryOfStep = Callable[[int, int, bool], StepMemory]
"""(rows, T, whether the step accumulates) → its memory."""

RESERVE_FRACTION = 0.15
"""Kept free for what an allocator reserves above the live bytes: 13–17 % in published GPU figures (a prior, not
measured here)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reason:
    """One number of the plan: why it is that, and where the knowledge comes from."""

    name: str
    value: str
    because: str
    source: str


@dataclass(frozen=True, kw_only=True, slots=True)
class FittedGeometry:
    """What to run."""

    geometry: BatchGeometry
    memory: StepMemory
    largest_micro_batch_size: int
    """The largest that fits (no larger than a rank's share of the global batch)."""
    usable_bytes: int
    reasons: tuple[Reason, ...]


def fit_geometry(
    model: ModelDescription,
    *,
    global_batch_size: int,
    memory_bytes: int,
    sequence_length: int | None = None,
    world_size: int = 1,
    isolate: bool = True,
    loss: LossForm = "chunked",
    observed: bool = False,
    memory_of_step: MemoryOfStep | None = None,
    fastest_micro_batch_size: int | None = None,
    reserve_fraction: float = RESERVE_FRACTION,
) -> FittedGeometry:
    """The geometry of `global_batch_size` whose step fits into `memory_bytes` per rank less the reserve.

    `memory_of_step` stands in for the closed form where that does not know the model or how it is run.
    `fastest_micro_batch_size` is a measurement, if there is one; it is followed as far as memory allows.
    Raises ResourceError, with what would fit, when not even one row does.
    """
    if not 0 <= reserve_fraction < 1:
        raise InputError(f"the reserve is a share of the memory between 0 and 1, not {reserve_fraction}")
    length = model.sequence_length if sequence_length is None else sequence_length
    share = -(-global_batch_size // world_size)
    usable = int(memory_bytes * (1 - reserve_fraction))

    @cache
    def memory_of(rows: int, length: int) -> StepMemory:
        if memory_of_step is not None:
            return memory_of_step(rows, length, rows < share)
        if not isinstance(model, ModelConfig):
            raise InputError("no closed form knows a foreign model", remedy="memory_of_step: a trace of its real step")
        return step_memory(
            model,
            micro_batch_size=rows,
            sequence_length=length,
            accumulates=rows < share,
            observed=observed,
            isolate=isolate,
            loss=loss,
        )

    largest = _largest_fitting(lambda rows: memory_of(rows, length), share, usable)
    if largest == 0:
        raise _too_small(memory_of, length, usable, memory_bytes)
    wanted = largest if fastest_micro_batch_size is None else min(largest, fastest_micro_batch_size)
    # The same number of micro-batches with rows spread evenly: less filler, less memory, the same time.
    accumulation = -(-share // wanted)
    micro_batch = -(-share // accumulation)
    geometry = BatchGeometry(
        global_batch_size=global_batch_size,
        micro_batch_size=micro_batch,
        sequence_length=length,
        world_size=world_size,
    )
    memory = memory_of(micro_batch, length)
    return FittedGeometry(
        geometry=geometry,
        memory=memory,
        largest_micro_batch_size=largest,
        usable_bytes=usable,
        reasons=_reasons(
            geometry,
            memory,
            largest=largest,
            usable=usable,
            memory_bytes=memory_bytes,
            reserve_fraction=reserve_fraction,
            fastest=fastest_micro_batch_size,
            next_bytes=memory_of(largest + 1, length).peak_bytes if largest < share else None,
        ),
    )


def _largest_fitting(memory_of: Callable[[int], StepMemory], share: int, usable: int) -> int:
    """The largest number of rows up to `share` whose peak fits; 0 for none.

    The whole share is tried by itself: a step without accumulation holds one gradient less, so it may fit where a
    slightly smaller one does not.
    """
    if memory_of(share).peak_bytes <= usable:
        return share
    if memory_of(1).peak_bytes > usable:
        return 0
    low, high = 1, share
    while high - low > 1:
        middle = (low + high) // 2
        if memory_of(middle).peak_bytes <= usable:
            low = middle
        else:
            high = middle
    return low


def _too_small(
    memory_of: Callable[[int, int], StepMemory], length: int, usable: int, memory_bytes: int
) -> ResourceError:
    memory = memory_of(1, length)
    low, high = 0, length if memory_of(1, 1).peak_bytes <= usable else 0  # else the weights alone are too many
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if memory_of(1, middle).peak_bytes <= usable else (low, middle)
    parts = memory.peak.parts
    largest_part = max(parts, key=lambda part: parts[part]).replace("_", " ")
    return ResourceError(
        f"one sequence of {length:,} tokens needs {format_bytes(memory.peak_bytes)} (most of it "
        f"{largest_part}), and {format_bytes(usable)} of {format_bytes(memory_bytes)} may be used",
        remedy=f"sequence_length = {low}" if low else "a smaller model, or a machine with more memory",
    )


def _reasons(
    geometry: BatchGeometry,
    memory: StepMemory,
    *,
    largest: int,
    usable: int,
    memory_bytes: int,
    reserve_fraction: float,
    fastest: int | None,
    next_bytes: int | None,
) -> tuple[Reason, ...]:
    by_form = memory.source
    limit = (
        "the rank's whole share of the global batch fits"
        if next_bytes is None
        else f"{largest + 1} rows would need {format_bytes(next_bytes)}"
    )
    even = (
        "the rank's whole share at once"
        if geometry.accumulation == 1
        else f"the rank's share in {geometry.accumulation} parts of equal size"
    )
    largest_or_fastest = (
        f"{even}, the largest that fit; smaller ones may be faster (batchwright measure throughput)"
        if fastest is None
        else f"{even}; {fastest} measured fastest"
    )
    at = f"reached in the {memory.peak.phase} ({memory.peak.name})"
    return (
        Reason(
            name="global_batch_size",
            value=f"{geometry.global_batch_size:,} sequences = {geometry.tokens_per_step:,} tokens",
            because="as wished; memory never changes it",
            source="given",
        ),
        Reason(
            name="usable memory",
            value=format_bytes(usable),
            because=f"{format_bytes(memory_bytes)} less {reserve_fraction:.0%} for the allocator's own reserve",
            source="prior: published GPU figures",
        ),
        Reason(name="largest micro-batch", value=f"{largest:,} sequences", because=limit, source=by_form),
        Reason(
            name="micro_batch_size",
            value=f"{geometry.micro_batch_size:,} sequences",
            because=largest_or_fastest,
            source=by_form if fastest is None else "measured here",
        ),
        Reason(
            name="accumulation",
            value=f"{geometry.accumulation:,}",
            because=geometry.describe(),
            source="batches.geometry",
        ),
        Reason(
            name="peak memory",
            value=format_bytes(memory.peak_bytes),
            because=f"{at}; {memory.proportions.batch_share:.0%} of it grows with B",
            source=by_form,
        ),
    )
