"""What a store holds, counted and sampled, against the plain computation."""

import numpy as np
import pytest

from batchwright.documents.inputs import TextSource
from batchwright.foundation.errors import InputError
from batchwright.measuring import corpus
from batchwright.measuring.corpus import PERCENTILES, measure_corpus
from batchwright.tokens.store import TokenStore
from batchwright.workflows.prepare import prepare

ENGLISH = "the story of the men who have to be with that and that "
CHINESE = "在这里有人和为了是的一不中"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> TokenStore:
    place = tmp_path_factory.mktemp("corpus")
    random = np.random.default_rng(0)
    for name, text in (("en", ENGLISH), ("zh", CHINESE)):
        (place / name).mkdir()
        for number in range(60 if name == "en" else 20):
            (place / name / f"{number:02d}.txt").write_text(f"{number} " + text * int(random.integers(1, 90)))
    sources = [TextSource(name=name, paths=(str(place / name),)) for name in ("en", "zh")]
    return prepare(sources, place / "store", workers=1)


@pytest.mark.parametrize("counted", [2**20, 700])
def test_lengths_are_those_of_all_documents(store: TokenStore, counted: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "_COUNTED", counted)  # 700: some documents are longer than what has its own count
    lengths = np.sort(store.document_lengths("train"))
    found = measure_corpus(store).lengths
    assert (found.shortest, found.longest) == (lengths[0], lengths[-1])
    assert found.mean == pytest.approx(lengths.mean())
    nearest_rank = {percent: int(np.percentile(lengths, percent, method="inverted_cdf")) for percent in PERCENTILES}
    assert found.percentiles == nearest_rank
    assert sum(each.documents for each in found.bins) == len(lengths)
    assert sum(each.tokens for each in found.bins) == lengths.sum()
    for each in found.bins:
        inside = lengths[(lengths >= each.first) & (lengths < each.stop)]
        assert (each.documents, each.tokens) == (len(inside), inside.sum())


def test_sources_and_languages_are_told_apart(store: TokenStore) -> None:
    found = measure_corpus(store)
    assert {source.name: source.documents for source in found.sources} == {"en": 60, "zh": 20}
    assert {each.name: (each.documents, each.low, each.high) for each in found.languages} == {
        "en": (60, 0.75, 0.75),
        "zh": (20, 0.25, 0.25),
    }


def test_a_sample_has_an_interval_that_holds_the_truth(store: TokenStore) -> None:
    held = 0
    for seed in range(20):
        found = measure_corpus(store, sample=30, seed=seed)
        (english,) = [each for each in found.languages if each.name == "en"]
        assert found.sampled == 30
        assert english.low < english.share < english.high
        held += english.low <= 0.75 <= english.high
    assert held >= 17


def test_an_empty_split_is_refused(store: TokenStore) -> None:
    with pytest.raises(InputError, match="the validation split holds no document"):
        measure_corpus(store, "validation")
