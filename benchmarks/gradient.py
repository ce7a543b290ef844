"""The gradient of a whole batch against any cut of it: `python -m benchmarks.gradient`.

One global batch of packed rows (documents isolated, padding and filler included) is cut into ranks and micro-batches by
`BatchGeometry`, read by the real loader, and the ranks' gradients are added up, as an all-reduce does. Printed is the
largest relative error over the cuts, ‖cut − whole‖ / ‖whole‖ over all weights, and that of the loss; in fp32 also how
far the whole batch's own gradient lies from fp64's, which is what rounding costs without any cut.
"""

import argparse
import itertools
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from batchwright.batches.geometry import BatchGeometry
from batchwright.batches.loader import BatchLoader
from batchwright.model.transformer import Transformer
from batchwright.sequences.index_build import build_index
from batchwright.sequences.plan import Plan
from batchwright.tokens.store import TokenStore
from batchwright.training.objective import Objective, target_count
from batchwright.training.step import accumulate_gradient
from benchmarks.corpora import CORPORA
from benchmarks.training.corpus import write_corpus
from benchmarks.training.ours import model_config
from benchmarks.training.shapes import GPT2, SMALL, Shape, Work

BOUNDS = {torch.float32: 1e-6, torch.float64: 1e-12}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A global batch of `sequences` rows of T."""

    shape: Shape
    sequence_length: int
    sequences: int
    cuts: tuple[tuple[int, int], ...]  # (world size, micro-batch size)

    @property
    def work(self) -> Work:
        return Work(
            shape=self.shape,
            sequence_length=self.sequence_length,
            micro_batch_size=self.sequences,
            accumulation=1,
            steps=1,
        )


CASES = (
    Case(
        shape=SMALL,
        sequence_length=256,
        sequences=12,
        cuts=tuple((w, m) for w in (1, 2, 3, 5, 12) for m in (1, 2, 3, 5, 7)),
    ),
    Case(shape=SMALL, sequence_length=1024, sequences=4, cuts=((1, 1), (1, 2), (1, 3), (2, 1), (3, 1), (3, 2), (4, 1))),
    Case(shape=GPT2, sequence_length=128, sequences=4, cuts=((1, 1), (1, 3), (2, 1), (3, 2))),
)


class Batch:
    """One global batch, to be cut in any way: the plan's first with padding, as full rows have equal numbers of targets
    and would hide a wrong divisor."""

    def __init__(self, case: Case) -> None:
        self.case = case
        vocabulary = case.shape.vocabulary_size
        corpus = write_corpus(CORPORA / f"training-{vocabulary}", vocabulary, 2_000_000)
        index = build_index(TokenStore.open(corpus.store), sequence_length=case.sequence_length)
        self.plan = Plan.of(index)
        self.model_config = model_config(case.work, "rotary")
        loader = BatchLoader(self.plan, self.geometry(1, case.sequences))
        slots = case.sequences * case.sequence_length
        positions = itertools.count(step=case.sequences)
        self.position = next(position for position in positions if loader.step_from(position).targets < slots)

    def geometry(self, world_size: int, micro_batch_size: int) -> BatchGeometry:
        return BatchGeometry(
            global_batch_size=self.case.sequences,
            micro_batch_size=micro_batch_size,
            sequence_length=self.case.sequence_length,
            world_size=world_size,
        )

    def gradient(self, dtype: torch.dtype, world_size: int, micro_batch_size: int) -> tuple[float, list[Tensor]]:
        """(loss per target, gradient by weight) of the ranks together."""
        geometry = self.geometry(world_size, micro_batch_size)
        loss, total = 0.0, list[Tensor]()
        for rank in range(world_size):
            model = Transformer(self.model_config, seed=0, dtype=dtype)
            step = BatchLoader(self.plan, geometry, rank=rank).step_from(self.position)
            loss += accumulate_gradient(Objective(model), step)[0] / step.targets
            own = [torch.zeros_like(p) if p.grad is None else p.grad for p in model.parameters()]
            total = [a + b for a, b in zip(total, own, strict=True)] if total else own
        return loss, total

    def mean_of_means(self, dtype: torch.dtype) -> list[Tensor]:
        """The broken twin: micro-batches of one row, each divided by its own targets and by their number."""
        model = Transformer(self.model_config, seed=0, dtype=dtype)
        objective = Objective(model)
        for batch in BatchLoader(self.plan, self.geometry(1, 1)).step_from(self.position):
            mean = objective(*objective.tensors_of(batch)) / target_count(batch)
            (mean / self.case.sequences).backward()
        return [torch.zeros_like(p) if p.grad is None else p.grad for p in model.parameters()]


def distance(parts: Sequence[Tensor], whole: Sequence[Tensor]) -> float:
    """‖parts − whole‖ / ‖whole‖, summed in fp64."""
    difference = sum(float((a.double() - b.double()).square().sum()) for a, b in zip(parts, whole, strict=True))
    return (difference / sum(float(b.double().square().sum()) for b in whole)) ** 0.5


@dataclass(frozen=True, kw_only=True)
class Errors:
    """Of one batch in one precision, relative."""

    gradient: float  # the largest over the cuts
    loss: float  # the same
    twin: float  # of the gradient by the mean of means
    rounding: float | None  # of the uncut gradient to fp64's; none: it is fp64's


def errors(batch: Batch, dtype: torch.dtype) -> Errors:
    loss, whole = batch.gradient(dtype, 1, batch.case.sequences)
    of_cuts: list[tuple[float, float]] = []
    for cut in batch.case.cuts:
        cut_loss, parts = batch.gradient(dtype, *cut)
        of_cuts.append((distance(parts, whole), abs(cut_loss / loss - 1)))
    of_gradient, of_loss = np.max(of_cuts, axis=0).tolist()  # a NaN wins, unlike in Python's max
    exact = None if dtype == torch.float64 else batch.gradient(torch.float64, 1, batch.case.sequences)[1]
    return Errors(
        gradient=of_gradient,
        loss=of_loss,
        twin=distance(batch.mean_of_means(dtype), whole),
        rounding=None if exact is None else distance(whole, exact),
    )


def main(arguments: Sequence[str] = ()) -> None:
    """Print the table; the exit status is 1 where a bound is broken."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gradient", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the small shapes alone")
    options = parser.parse_args(list(arguments))
    torch.set_num_threads(1)
    print(
        "| shape | rows | cuts | precision | largest error of the gradient | of the loss | bound | fp32's own "
        "| mean of means |"
    )
    print("|---|--:|--:|---|--:|--:|--:|--:|--:|")
    broken = False
    for case in CASES[:2] if options.quick else CASES:
        batch = Batch(case)
        for dtype, bound in BOUNDS.items():
            begun, found = time.perf_counter(), errors(batch, dtype)
            # A twin that passes means that the batch could show nothing.
            broken |= not (found.gradient <= bound and found.loss <= bound < found.twin)
            print(
                f"| {case.work.name} | {case.sequences} | {len(case.cuts)} | {str(dtype)[6:]} | {found.gradient:.1e} | "
                f"{found.loss:.1e} | {bound:.0e} | {'' if found.rounding is None else f'{found.rounding:.1e}'} | "
                f"{found.twin:.1e} |",
                flush=True,
            )
            print(f"{case.work.name}: {time.perf_counter() - begun:.0f} s", file=sys.stderr, flush=True)
    if broken:
        raise SystemExit("a bound is broken, or the broken twin is not")


if __name__ == "__main__":
    main(sys.argv[1:])
