"""Random histories of a run: its plan, how it grew, on which machines it ran, where it was interrupted.

A trace is a function of its number. Its lives share one stream of data: each restores the state that the one before
left as JSON, on other machines, under the plan with whatever was appended meanwhile.
"""

import json
import random
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from typing import Any

from batchwright.batches.certificate import combined
from batchwright.batches.geometry import BatchGeometry
from batchwright.batches.loader import BatchLoader
from batchwright.batches.schedule import BatchSchedule, ScheduledGeometry
from batchwright.sequences.batch_rule import BatchRule, ConstantBatch, DoublingBatch, RampedBatch, SteppedBatch
from batchwright.sequences.plan import Plan
from batchwright.sequences.stage import Source, Stage
from tests.laws.plan_reference import Reference
from tests.laws.streams import CORPORA, PACKINGS, eaten, index_of

LENGTHS = (5, 8, 13)


@dataclass(frozen=True)
class Life:
    """Some steps on one arrangement of machines; `begun` more are begun and lost."""

    steps: int
    begun: int
    world_size: int
    micro_batch_size: int
    prefetch: int
    ring: int | None
    even: bool
    appended: bool


@dataclass(frozen=True)
class StepSeen:
    """A step as all ranks together ate it."""

    positions: list[int]
    content: list[bytes]
    targets: int
    certificate: int
    epochs: list[int]


def weights(draw: random.Random, sources: int) -> list[int | Fraction]:
    whole = [draw.choice([1, 1, 2, 3, 7, draw.randint(1, 40)]) for _ in range(sources)]
    return list(whole) if draw.random() < 0.6 else [Fraction(weight, sum(whole)) for weight in whole]


def rule(draw: random.Random, seen: int = 0) -> BatchRule:
    """A rule with thresholds soon after so many slots."""
    small, large = sorted((draw.randint(1, 6), draw.randint(2, 20)))
    steps = SteppedBatch(
        pieces=((0, small), (seen + draw.randint(1, 300), large), (seen + draw.randint(301, 700), small + 1))
    )
    if seen:
        return draw.choice([ConstantBatch(size=large), steps, steps])
    return draw.choice(
        [
            ConstantBatch(size=large),
            steps,
            RampedBatch(first=small, last=large, over=draw.randint(1, 1500), multiple=draw.randint(1, 3)),
            DoublingBatch(first=small, last=large, every=draw.randint(1, 500)),
        ]
    )


def stage(draw: random.Random, first: int, sequence_length: int, batch: BatchRule | None) -> Stage:
    names = draw.sample("abcde", draw.choice([1, 1, 2, 3, 5]))
    sources = [
        Source(
            name=name,
            # The first one is never smaller than a batch.
            index=index_of(
                draw.choice([1, 2, ord(name) % len(CORPORA)] if i else [1, 2]),
                draw.choice(PACKINGS[:2]),
                sequence_length,
            ),
            weight=weight,
        )
        for i, (name, weight) in enumerate(zip(names, weights(draw, len(names)), strict=True))
    ]
    skipped = [
        (first + a, first + a + draw.randint(1, 30)) for a in draw.choices(range(60), k=draw.choice([0, 0, 1, 2]))
    ]
    return Stage(
        first_position=first, seed=draw.randint(0, 2), sources=tuple(sources), batch=batch, skipped=tuple(skipped)
    )


def next_stage(draw: random.Random, plan: Plan, first: int) -> Stage:
    """What people append: a skipped range, other weights, another T, another rule, a new seed."""
    before = plan.stages[-1]
    batch = rule(draw, first * before.sequence_length) if draw.random() < 0.4 else None
    if draw.random() < 0.4:
        spans = ((first, first + draw.randint(1, 25)),) if draw.random() < 0.7 else ()
        seed = draw.choice([before.seed, before.seed + 1])
        return Stage(first_position=first, seed=seed, sources=before.sources, batch=batch, skipped=spans)
    length = before.sequence_length if draw.random() < 0.6 else draw.choice(LENGTHS)
    return stage(draw, first, length, batch)


class Trace:
    """History number `number`."""

    def __init__(self, number: int) -> None:
        draw = random.Random(number)
        self.draw = draw
        self.start = 0 if draw.random() < 0.6 else draw.randrange(2**40)
        # Some plans say the rule, some leave it to the loader.
        length = draw.choice(LENGTHS)
        self.rule = rule(draw, self.start * length)
        said = draw.random() < 0.5
        self.plan = Plan(stages=(stage(draw, 0, length, self.rule if said else None),))
        first = self.start
        for _ in range(draw.choice([0, 0, 1, 2])):
            first += draw.randint(0, 40)
            self.plan = self.plan.append(next_stage(draw, self.plan, first))
        self.lives = [
            Life(
                steps=draw.randint(0, 6),
                begun=draw.randint(0, 2),
                world_size=draw.choice([1, 2, 3, draw.randint(1, 8), draw.randint(1, 64)]),
                micro_batch_size=draw.randint(1, 7),
                prefetch=draw.choice([0, 0, 0, 1, 2]),
                ring=draw.choice([None, None, 1, 3]),
                even=draw.random() < 0.3,
                appended=draw.random() < 0.3,
            )
            for _ in range(draw.randint(1, 4))
        ]

    def run(
        self, *, loader_type: type[BatchLoader] = BatchLoader, geometry_type: type[BatchGeometry] = BatchGeometry
    ) -> list[StepSeen]:
        """Live it. `self.plan` is afterwards what it has grown to."""
        seen: list[StepSeen] = []
        state = json.dumps({**BatchLoader(self.plan, self._geometry(self.lives[0])).state(), "position": self.start})
        for life in self.lives:
            loaders = [self._loader(life, rank, loader_type, geometry_type) for rank in range(life.world_size)]
            for loader in loaders:
                loader.restore(json.loads(state))
            streams = [iter(loader) for loader in loaders]
            for _ in range(life.steps):
                seen.append(self._step(loaders, streams))
            for stream in streams[:1]:
                for step in islice(stream, life.begun):
                    next(step)
            states = {json.dumps(loader.state()) for loader in loaders}
            assert len(states) == 1, "ranks disagree about the state"
            state = states.pop()
            assert len(state) <= 1024
            for stream in streams:
                stream.close()
            if life.appended:
                behind = max(loaders[0].position, self.plan.stages[-1].first_position)
                self.plan = self.plan.append(next_stage(self.draw, self.plan, behind + self.draw.randint(0, 9)))
        return seen

    def expected(self, steps: int) -> list[StepSeen]:
        """The same steps in the naive reading of the plan that the run ended with."""
        reference, position = Reference(self.plan, self.rule), self.start
        out: list[StepSeen] = []
        for _ in range(steps):
            positions = reference.step(position)
            places = [reference.place(here) for here in positions]
            out.append(
                StepSeen(
                    positions,
                    [place.content() for place in places],
                    sum(place.index.targets_of(_array(place.row)) for place in places),
                    combined(place.certificate() for place in places),
                    [place.epoch for place in places],
                )
            )
            position = positions[-1] + 1
        return out

    def check(self, **types: Any) -> None:
        seen = self.run(**types)
        expected = self.expected(len(seen))
        positions = [position for step in seen for position in step.positions]
        assert len(set(positions)) == len(positions), "a sequence is repeated"
        assert positions == [position for step in expected for position in step.positions], "other sequences"
        assert seen == expected

    def _geometry(self, life: Life) -> ScheduledGeometry:
        schedule = BatchSchedule(self.plan, self.rule)
        return ScheduledGeometry(schedule=schedule, micro_batch_size=life.micro_batch_size, world_size=life.world_size)

    def _loader(
        self, life: Life, rank: int, loader_type: type[BatchLoader], geometry_type: type[BatchGeometry]
    ) -> BatchLoader:
        loader = loader_type(
            self.plan,
            self._geometry(life),
            rank=rank,
            prefetch=life.prefetch,
            ring=life.ring,
            even_attention=life.even,
        )
        if geometry_type is not BatchGeometry:
            first = loader.geometry
            loader.geometry = geometry_type(
                global_batch_size=first.global_batch_size,
                micro_batch_size=first.micro_batch_size,
                sequence_length=first.sequence_length,
                world_size=first.world_size,
            )
        return loader

    @staticmethod
    def _step(loaders: list[BatchLoader], streams: list[Any]) -> StepSeen:
        steps = [next(stream) for stream in streams]
        assert len({len(step) for step in steps}) == 1, "ranks run different numbers of micro-batches"
        assert len({step.targets for step in steps}) == 1
        rows: list[tuple[int, bytes]] = []
        epochs: dict[int, int] = {}
        for loader, step in zip(loaders, steps, strict=True):
            batches = 0
            for batch in step:
                rows += eaten(batch)
                epochs |= zip(batch.positions.tolist(), batch.epochs.tolist(), strict=True)
                batches += 1
            assert batches == len(step)
            loader.acknowledge(step)
        rows.sort()
        return StepSeen(
            [position for position, _ in rows],
            [content for _, content in rows],
            steps[0].targets,
            combined(step.certificate for step in steps),
            [epochs[position] for position, _ in rows],
        )


def _array(row: int) -> Any:
    import numpy as np

    return np.array([row])
