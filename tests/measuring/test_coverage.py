"""The waste ledger before training says what the index then holds; its figures are those of a count by hand."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwright.documents.inputs import TextSource
from batchwright.engines.serial import SerialExecutor
from batchwright.foundation.errors import CorruptDataError, InputError
from batchwright.measuring.coverage import STRETCHES, Coverage, CoverageSource, measure_coverage, text_sources
from batchwright.sequences.index_build import build_index
from batchwright.sequences.packing import BestFit, BestFitTruncated, Concatenate, Packing, StartAligned
from batchwright.sequences.stored_tokens import StoredTokens
from batchwright.tokens.build import prepare_store
from batchwright.tokens.tokenizer import ByteTokenizer
from tests.laws.streams import CORPORA, DROPPING_PACKINGS, PACKINGS, index_of, store_of
from tests.sequences.small_store import SmallStore, write_store

ALL: tuple[Packing, ...] = (*PACKINGS, *DROPPING_PACKINGS)


def covered(stores: Sequence[SmallStore], packing: Packing, sequence_length: int, **more: object) -> Coverage:
    sources = [CoverageSource(name=str(n), stored=StoredTokens.of(store)) for n, store in enumerate(stores)]
    return measure_coverage(sources, [packing], sequence_length=sequence_length, **more)[0]  # type: ignore[arg-type]


@given(st.integers(0, len(CORPORA) - 1), st.sampled_from(ALL), st.sampled_from([2, 5, 8, 13, 1000]))
def test_it_foretells_the_index(corpus: int, packing: Packing, sequence_length: int) -> None:
    coverage = covered([store_of(corpus)], packing, sequence_length)
    index = index_of(corpus, packing, sequence_length)
    ledger = coverage.total.to_dict()
    assert {name: ledger.get(name) for name in index.counts} == index.counts
    stretches = coverage.sources[0].stretches
    assert sum(stretch.stored for stretch in stretches) == coverage.total.stored
    assert sum(stretch.dropped for stretch in stretches) == coverage.total.dropped_count
    assert stretches[-1].documents == len(CORPORA[corpus])
    assert len(stretches) <= STRETCHES


def test_the_default_cuts_nothing_needlessly_and_concatenation_does(tmp_path: Path) -> None:
    store = write_store(tmp_path, [5, 3, 9, 2])
    fitted, chunked = (covered([store], packing, 6).total for packing in (BestFit(), Concatenate()))
    assert (fitted.documents_cut, fitted.documents_cut_needlessly, fitted.targets_without_start) == (1, 0, 3)
    assert (chunked.documents_cut, chunked.documents_cut_needlessly, chunked.targets_without_start) == (3, 2, 8)


def test_what_start_aligned_drops_grows_along_the_stream(tmp_path: Path) -> None:
    lengths = np.maximum(2, np.random.default_rng(0).lognormal(3.0, 1.2, 5_000)).astype(int).tolist()
    store = write_store(tmp_path, lengths)
    coverage = covered([store], StartAligned(buffer_documents=50), 110)
    shares = [stretch.dropped / stretch.stored for stretch in coverage.sources[0].stretches]
    assert shares[0] < coverage.total.dropped_count / coverage.total.stored < coverage.marginal_drop
    assert covered([store], BestFit(), 110).marginal_drop == 0


def test_epochs_share_a_budget_of_slots(tmp_path: Path) -> None:
    stores = [write_store(tmp_path / "a", [6] * 10), write_store(tmp_path / "b", [6] * 30)]
    even = covered(stores, BestFit(), 6, budget_tokens=480)
    assert [source.epochs for source in even.sources] == [2.0, 2.0]
    sources = [
        CoverageSource(name=str(n), stored=StoredTokens.of(store), weight=Fraction(1, 2))
        for n, store in enumerate(stores)
    ]
    halves = measure_coverage(sources, [BestFit()], sequence_length=6, budget_tokens=480)[0]
    assert [source.epochs for source in halves.sources] == [4.0, pytest.approx(4 / 3)]
    assert halves.total.rows == 40
    assert [source.epochs for source in covered(stores, BestFit(), 6).sources] == [None, None]


def test_progress_counts_all_packings_and_sources(tmp_path: Path) -> None:
    stores = [write_store(tmp_path / "a", [6] * 10), write_store(tmp_path / "b", [6] * 30)]
    sources = [CoverageSource(name=str(n), stored=StoredTokens.of(store)) for n, store in enumerate(stores)]
    heard: list[tuple[int, int]] = []
    measure_coverage(
        sources, [BestFit(), StartAligned(buffer_documents=4)], sequence_length=6, heard=lambda *n: heard.append(n)
    )
    assert heard == [(10, 80), (40, 80), (50, 80), (80, 80)]


def test_bad_input_is_named(tmp_path: Path) -> None:
    store = write_store(tmp_path, [5, 3])
    with pytest.raises(InputError, match="a sequence of 1 tokens"):
        covered([store], BestFit(), 1)
    with pytest.raises(InputError, match="a budget of 0"):
        covered([store], BestFit(), 6, budget_tokens=0)
    stored = StoredTokens.of(store)
    for weights in ((None, Fraction(1)), (Fraction(0), Fraction(1))):
        sources = [CoverageSource(name="a", stored=stored, weight=weight) for weight in weights]
        with pytest.raises(InputError, match="cannot share"):
            measure_coverage(sources, [BestFit()], sequence_length=6, budget_tokens=6)
    with pytest.raises(InputError, match="holds no documents"):
        measure_coverage(
            [CoverageSource(name="a", stored=StoredTokens.of(store, "validation"))], [BestFit()], sequence_length=6
        )


class LosesALine(BestFit):
    """Broken twin: the last piece is forgotten, and nobody is told."""

    def pack(self, lengths, sequence_length, **_):  # type: ignore[no-untyped-def]
        packed = BestFit().pack(lengths, sequence_length)
        return replace(
            packed,
            document=packed.document[:-1],
            begin=packed.begin[:-1],
            length=packed.length[:-1],
            row_first=packed.row_first,
        )


def test_a_packing_that_loses_tokens_has_no_ledger(tmp_path: Path) -> None:
    store = write_store(tmp_path, [5, 3, 9, 2])
    with pytest.raises(CorruptDataError, match="drops nothing"):
        covered([store], LosesALine(), 6)
    with pytest.raises(CorruptDataError, match="drops nothing"):
        build_index(store, sequence_length=6, packing=LosesALine())
    assert covered([store], BestFitTruncated(), 6).total.dropped == {"truncated": 3}


def test_a_store_that_does_not_hold_what_its_manifest_says_has_no_ledger(tmp_path: Path) -> None:
    store = write_store(tmp_path, [5, 3, 9, 2])
    lying = replace(store, train=replace(store.train, token_count=20))
    with pytest.raises(CorruptDataError, match="4 documents hold 19 tokens"):
        covered([lying], BestFit(), 6)


def test_tokens_are_told_apart_by_the_text_they_came_from(tmp_path: Path) -> None:
    for name, count in (("a", 3), ("b", 5)):
        (tmp_path / name).mkdir()
        for number in range(count):
            (tmp_path / name / f"{number}.txt").write_text(f"{name}{number}" * 4)
    sources = [TextSource(name=name, paths=(str(tmp_path / name),)) for name in ("a", "b")]
    store = prepare_store(
        sources, tmp_path / "store", tokenizer=ByteTokenizer(), executor=SerialExecutor(), shard_tokens=20
    )
    found = [(each.name, each.documents, each.tokens) for each in text_sources(store, "train")]
    assert found == [("a", 3, 27), ("b", 5, 45)]
    one = prepare_store(sources[:1], tmp_path / "one", tokenizer=ByteTokenizer(), executor=SerialExecutor())
    assert [(each.name, each.documents, each.tokens) for each in text_sources(one, "train")] == found[:1]
