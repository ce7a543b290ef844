"""The gradient of a whole batch against any cut of it: `python -m benchmarks.gradient`.

One global batch of packed rows (documents isolated, padding and filler included) is cut into ranks and micro-batches by
`BatchGeometry`, read by the real loader, and the ranks' gradients are added up, as an all-reduce does. Printed is the
largest relative error over the cuts, ‖cut − whole‖ / ‖whole‖ over all weights, and that of the loss; in fp32 also how
far the whole batch's own gradient lies from fp64's, which is what rounding costs without any cut.
"""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from batchwright.batches.geometry import BatchGeometry
from batchwright.batches.loader import BatchLoader
from batchwright.model.transformer import Transformer
from batchwright.sequences.index_build import build_index
from batchwright.sequences.plan import Plan
from batchwright.tokens.store import TokenStore
from batchwright.training.objective import Objective
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
    Case(shape=GPT2, sequence_length=128, sequences=4, cuts=((1, 1), (1, 2), (1, 3), (2, 1), (3, 1), (3, 2), (4, 1))),
)


class Batch:
    """One global batch, to be cut in any way."""

    def __init__(self, case: Case) -> None:
        self.case = case
        vocabulary = case.shape.vocabulary_size
        corpus = write_corpus(CORPORA / f"training-{vocabulary}", vocabulary, 2_000_000)
        index = build_index(TokenStore.open(corpus.store), sequence_length=case.sequence_length)
        self.plan = Plan.of(index)
        self.model_config = model_config(case.work, "rotary")

    def gradient(self, dtype: torch.dtype, world_size: int, micro_batch_size: int) -> tuple[float, list[Tensor]]:
        """(loss per target, gradient by weight) of the ranks together."""
        geometry = BatchGeometry(
            global_batch_size=self.case.sequences,
            micro_batch_size=micro_batch_size,
            sequence_length=self.case.sequence_length,
            world_size=world_size,
        )
        loss, total = 0.0, list[Tensor]()
        for rank in range(world_size):
            model = Transformer(self.model_config, seed=0, dtype=dtype)
            step = next(iter(BatchLoader(self.plan, geometry, rank=rank)))
            loss += accumulate_gradient(Objective(model), step)[0] / step.targets
            own = [torch.zeros_like(p) if p.grad is None else p.grad for p in model.parameters()]
            total = [a + b for a, b in zip(total, own, strict=True)] if total else own
        return loss, total


def distance(parts: Sequence[Tensor], whole: Sequence[Tensor]) -> float:
    """‖parts − whole‖ / ‖whole‖, summed in fp64."""
    difference = sum(float((a.double() - b.double()).square().sum()) for a, b in zip(parts, whole, strict=True))
    return (difference / sum(float(b.double().square().sum()) for b in whole)) ** 0.5


def errors(batch: Batch, dtype: torch.dtype) -> Iterator[tuple[tuple[int, int], float, float]]:
    """(cut, error of the gradient, error of the loss) for every cut; first, as (0, 0), the whole against fp64."""
    loss, whole = batch.gradient(dtype, 1, batch.case.sequences)
    if dtype == torch.float32:
        exact_loss, exact = batch.gradient(torch.float64, 1, batch.case.sequences)
        yield (0, 0), distance(whole, exact), abs(loss / exact_loss - 1)
    for cut in batch.case.cuts:
        cut_loss, parts = batch.gradient(dtype, *cut)
        yield cut, distance(parts, whole), abs(cut_loss / loss - 1)


def main(arguments: Sequence[str] = ()) -> None:
    """Print the table; the exit status is 1 where a bound is broken."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gradient", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the small shapes alone")
    options = parser.parse_args(list(arguments))
    torch.set_num_threads(1)
    print("| shape | rows | cuts | precision | largest error of the gradient | of the loss | bound | fp32's own |")
    print("|---|--:|--:|---|--:|--:|--:|--:|")
    broken = False
    for case in CASES[:2] if options.quick else CASES:
        batch = Batch(case)
        for dtype, bound in BOUNDS.items():
            begun, own, worst, worst_loss = time.perf_counter(), "", 0.0, 0.0
            for cut, error, of_loss in errors(batch, dtype):
                if cut == (0, 0):
                    own = f"{error:.1e}"
                    continue
                worst, worst_loss = max(worst, error), max(worst_loss, of_loss)
            broken |= max(worst, worst_loss) > bound
            print(
                f"| {case.work.name} | {case.sequences} | {len(case.cuts)} | {str(dtype)[6:]} | {worst:.1e} | "
                f"{worst_loss:.1e} | {bound:.0e} | {own} |",
                flush=True,
            )
            print(f"{case.work.name}: {time.perf_counter() - begun:.0f} s", file=sys.stderr, flush=True)
    if broken:
        raise SystemExit("a bound is broken")


if __name__ == "__main__":
    main(sys.argv[1:])
