"""A loader over mixtures and stages: rows of several stores in one batch, shapes that change, caps that end a run."""

from dataclasses import replace
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from batchwright.batches.geometry import BatchGeometry
from batchwright.batches.loader import BatchLoader, check_budget
from batchwright.batches.schedule import BatchSchedule, ScheduledGeometry
from batchwright.foundation.errors import InputError
from batchwright.sequences.batch_rule import ConstantBatch, SteppedBatch
from batchwright.sequences.budget import exhaustions, shares
from batchwright.sequences.index import SequenceIndex
from batchwright.sequences.index_build import build_index
from batchwright.sequences.plan import Plan
from batchwright.sequences.stage import Source, Stage
from batchwright.sequences.timeline import Timeline
from tests.sequences.small_store import EOT, VOCABULARY, SmallStore, write_store

T = 8


def index_at(directory: Path, documents: int, *, sequence_length: int = T, **words: object) -> SequenceIndex:
    lengths = [3 + i % 11 for i in range(documents)]
    store = write_store(directory, lengths, shard_documents=7, seed=documents)
    changed = SmallStore(**{**{name: getattr(store, name) for name in store.__dataclass_fields__}, **words})  # type: ignore[arg-type]
    return build_index(changed, sequence_length=sequence_length)


@pytest.fixture
def sources(tmp_path: Path) -> list[Source]:
    return [
        Source(name=name, index=index_at(tmp_path / name, documents), weight=weight)
        for name, documents, weight in (("web", 90, 7), ("code", 40, 2), ("books", 11, 1))
    ]


def test_a_batch_holds_rows_of_several_stores_and_every_slot_is_traced(sources: list[Source]) -> None:
    plan = Plan.mix(sources, seed=3)
    loader = BatchLoader(plan, BatchGeometry(global_batch_size=20, micro_batch_size=8, sequence_length=T))
    for step in islice(loader, 12):
        drawn: list[int] = []
        for batch in step:
            for b in range(batch.row_count):
                index = batch.indexes[batch.streams[b]]
                tokens = np.concatenate([shard.tokens.array for shard in index.stored.shards])
                starts, lengths = index.segments_of(int(batch.rows[b]))
                numbers = index.document_table.documents_at(starts)
                places = np.concatenate([np.arange(a, a + n) for a, n in zip(starts, lengths, strict=True)])
                filled = places.shape[0]
                assert np.array_equal(batch.targets[b, :filled], tokens[places])
                assert np.array_equal(batch.inputs[b, :filled], tokens[places - 1])
                assert np.array_equal(batch.documents[b, :filled], np.repeat(numbers, lengths))
                assert batch.loss_mask[b].tolist() == [True] * filled + [False] * (T - filled)
            drawn += batch.streams[: batch.row_count].tolist()
        assert np.bincount(drawn, minlength=3).tolist() == [14, 4, 2]
        loader.acknowledge(step)
    with pytest.raises(InputError, match="3 sources"):
        assert next(loader.step_at(0)).index


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"vocabulary_size": VOCABULARY + 1}, "vocabulary size 60000 and 60001"),
        ({"eot_id": EOT + 1}, "id of <endoftext> 0 and 1"),
    ],
)
def test_sources_whose_ids_mean_other_things_are_refused(
    sources: list[Source], tmp_path: Path, other: dict[str, int], said: str
) -> None:
    odd = Source(name="odd", index=index_at(tmp_path / "odd", 20, **other))
    with pytest.raises(InputError, match=said):
        Plan.mix([*sources, odd])
    with pytest.raises(InputError, match=said):
        Plan.mix(sources).append(Stage(first_position=9, seed=0, sources=(odd,)))


def test_sources_of_another_dtype_or_tokenizer_are_refused(sources: list[Source], tmp_path: Path) -> None:
    wide = build_index(write_store(tmp_path / "wide", [5] * 20, dtype="<u4"), sequence_length=T)
    with pytest.raises(InputError, match="dtype uint16 and uint32"):
        Plan.mix([*sources, Source(name="wide", index=wide)])
    stored = replace(sources[0].index.stored, tokenizer="other")
    other = Source(name="other", index=replace(sources[0].index, stored=stored))
    with pytest.raises(InputError, match="tokenizer"):
        Plan.mix([sources[1], other])


def test_sources_of_another_length_belong_into_another_stage(sources: list[Source], tmp_path: Path) -> None:
    longer = Source(name="long", index=index_at(tmp_path / "long", 40, sequence_length=2 * T))
    with pytest.raises(InputError, match="different sequence lengths"):
        Plan.mix([*sources, longer])
    plan = Plan.mix(sources, batch=ConstantBatch(size=6)).append(Stage(first_position=15, seed=0, sources=(longer,)))
    loader = BatchLoader(
        plan, ScheduledGeometry(schedule=BatchSchedule(plan), micro_batch_size=4, world_size=2), rank=1, prefetch=2
    )
    seen = [
        (step.geometry.micro_batch_size, [batch.shape for batch in step], step.tokens) for step in islice(loader, 5)
    ]
    assert seen == [
        (4, [(4, T)], 6 * T),
        (4, [(4, T)], 6 * T),
        (2, [(2, T)], 3 * T),  # what is left before T changes, two rows to a rank
        (2, [(2, 2 * T)] * 2, 12 * T),
        (2, [(2, 2 * T)] * 2, 12 * T),
    ]


def test_two_words_about_the_batch_are_one_too_many(sources: list[Source]) -> None:
    plan = Plan.mix(sources, batch=ConstantBatch(size=6))
    geometry = BatchGeometry(global_batch_size=6, micro_batch_size=4, sequence_length=T)
    with pytest.raises(InputError, match="the plan says how large a batch is"):
        BatchLoader(plan, geometry)
    with pytest.raises(InputError, match="made for another plan"):
        BatchLoader(plan.skip(3, 9), ScheduledGeometry(schedule=BatchSchedule(plan), micro_batch_size=4))
    huge = Plan.mix(sources, batch=SteppedBatch(pieces=((0, 4), (10**6, 10**5))))
    with pytest.raises(InputError, match=r"batch of 100,000 sequences is larger than the data"):
        BatchLoader(huge, ScheduledGeometry(schedule=BatchSchedule(huge), micro_batch_size=4))
    with pytest.raises(InputError, match="world_size is 0"):
        BatchLoader(plan, ScheduledGeometry(schedule=BatchSchedule(plan), micro_batch_size=4, world_size=0))


def test_buffers_are_allocated_once_per_shape(sources: list[Source]) -> None:
    asked: list[tuple[int, ...]] = []

    def allocate(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        asked.append(shape)
        return np.empty(shape, dtype)

    plan = Plan.mix(sources, batch=SteppedBatch(pieces=((0, 4), (80 * T, 12))))
    loader = BatchLoader(
        plan, ScheduledGeometry(schedule=BatchSchedule(plan), micro_batch_size=4), allocate=allocate, prefetch=1
    )
    for step in islice(loader, 60):
        kept = list(step)
        assert len({id(batch.inputs) for batch in kept}) == len(kept), "a step's batches lie in different memory"
        loader.acknowledge(step)
    assert len(asked) == 5 * (3 + 1)  # five arrays; three micro-batches of the largest step and one ahead


def capped(sources: list[Source], cap: int | Fraction) -> Plan:
    books = Source(name="books", index=sources[2].index, weight=1, epoch_cap=cap)
    return Plan.mix([*sources[:2], books])


@pytest.mark.parametrize("cap", [2, Fraction(3, 2)])
def test_a_cap_is_known_before_the_run_and_named_with_step_and_position(
    sources: list[Source], cap: int | Fraction
) -> None:
    plan = capped(sources, cap)
    rows = sources[2].index.row_count
    schedule = BatchSchedule.of(plan, 15)
    (end,) = exhaustions(schedule.timeline)
    # Counted by hand: the first position whose row of books is one too many.
    read, position = 0, -1
    while read <= int(cap * rows):
        position += 1
        read += plan.stage.mixture.at(position)[0] == 2
    assert (end.position, end.rows_allowed) == (position, int(cap * rows))
    step = position // 15
    check_budget(schedule, step * 15 * T)
    with pytest.raises(InputError, match=rf"'books' .*used up at position {position}, in step {step}") as caught:
        check_budget(schedule, step * 15 * T + 1)
    assert f"at most {step * 15 * T:,} slots" in str(caught.value)
    loader = BatchLoader(plan, BatchGeometry(global_batch_size=15, micro_batch_size=15, sequence_length=T))
    done = 0
    with pytest.raises(InputError, match=f"at position {position}, in step {step}"):
        for one in loader:
            loader.acknowledge(one)
            done += 1
    assert done == step


def test_a_cap_heeds_skipped_ranges_and_a_stage_without_the_source(sources: list[Source]) -> None:
    plan = capped(sources, 1)
    (end,) = exhaustions(Timeline(plan))
    skipping = plan.skip(end.position, end.position + 35, at=end.position - 3)
    (later,) = exhaustions(Timeline(skipping))
    mixture = plan.stage.mixture
    expected = next(p for p in range(end.position + 35, end.position + 80) if mixture.at(p)[0] == 2)
    assert later.position == expected
    without = plan.append(Stage(first_position=end.position, seed=0, sources=tuple(sources[:2])))
    assert exhaustions(Timeline(without)) == ()


def test_shares_are_reported_exactly(sources: list[Source]) -> None:
    plan = Plan.mix(sources).skip(100, 150)
    plan = plan.append(Stage(first_position=500, seed=0, sources=(sources[0],)))
    timeline = Timeline(plan)
    report = {share.name: share for share in shares(timeline, 600)}
    counts = {name: [0, 0] for name in report}
    for position in range(600):
        name = timeline.streams[timeline.ordinal_at(position)[0]].name
        counts[name][position in timeline.skipped] += 1
    for name, share in report.items():
        assert [share.rows, share.skipped_rows] == counts[name]
        assert share.realised == Fraction(share.rows, 550)
        assert share.epochs == Fraction(sum(counts[name]), {s.name: s.index.row_count for s in sources}[name])
    assert sum(share.asked for share in report.values()) == 1
    assert report["code"].asked == Fraction(450 * 2, 10 * 550)


def test_a_source_without_rows_or_weight_is_refused(sources: list[Source]) -> None:
    index = sources[0].index
    empty = replace(index.row_targets, array=index.row_targets.array[:0])
    with pytest.raises(InputError, match="'none' has no row"):
        Source(name="none", index=replace(index, row_targets=empty))
    with pytest.raises(InputError, match="may be read 0 times"):
        Source(name="web", index=index, epoch_cap=0)
