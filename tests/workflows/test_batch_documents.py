"""Whose tokens a stretch of positions holds, against the batches themselves."""

from collections import Counter

import pytest

from batchwright.batches.geometry import BatchGeometry
from batchwright.batches.loader import BatchLoader
from batchwright.documents.inputs import TextSource
from batchwright.sequences.plan import Plan
from batchwright.sequences.stage import Source
from batchwright.tokens.store import TokenStore
from batchwright.workflows.batch_documents import MOST_DOCUMENTS, StoreTracer
from batchwright.workflows.data import open_index
from batchwright.workflows.prepare import prepare


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> list[TokenStore]:
    home = tmp_path_factory.mktemp("stores")
    made: list[TokenStore] = []
    for name, words in (("prose", 9), ("code", 23)):
        text = home / f"{name}.txt.d"
        text.mkdir()
        for number in range(40):
            body = " ".join(f"{name}{(number * words + i) % 31}" for i in range(10 + number))
            (text / f"{number:02}.txt").write_text(f"{name} {number}\n{body}\n", encoding="utf-8")
        tokenizer = "train:280" if not made else str(home / "prose" / "tokenizer.json")
        prepare([TextSource(name=name, paths=(str(text),))], home / name, tokenizer=tokenizer, workers=1)
        made.append(TokenStore.open(home / name))
    return made


@pytest.fixture(scope="module")
def plan(stores: list[TokenStore]) -> Plan:
    sources = [
        Source(name=store.directory.name, index=open_index(store, sequence_length=32), weight=weight)
        for store, weight in zip(stores, (2, 1), strict=True)
    ]
    return Plan.mix(sources, seed=3).skip(20, 23)


@pytest.mark.parametrize("step", [0, 2, 7])
def test_the_documents_are_those_of_the_batch_with_their_tokens(
    stores: list[TokenStore], plan: Plan, step: int
) -> None:
    loader = BatchLoader(plan, BatchGeometry(global_batch_size=8, micro_batch_size=8, sequence_length=32))
    batches = loader.step_at(step)
    batch = next(iter(batches))
    expected: Counter[tuple[str, str]] = Counter()
    names = {store.fingerprint: store for store in stores}
    for b, row in enumerate(batch.documents):
        store = names[batch.indexes[int(batch.streams[b])].stored.fingerprint]
        for document in row[row >= 0].tolist():
            expected[store.directory.name, store.provenance("train", document).path] += 1
    found = StoreTracer(plan, stores)(batches.first_position, batches.stop_position)
    assert found.count == len(expected)
    assert len(found.documents) == min(MOST_DOCUMENTS, len(expected))
    assert {(d["source"], d["path"]): d["tokens"] for d in found.documents}.items() <= expected.items()
    tokens = [d["tokens"] for d in found.documents]
    assert tokens == sorted(tokens, reverse=True)
    assert tokens[0] == max(expected.values())


def test_the_positions_of_the_second_step_lie_around_the_skipped_ones(plan: Plan) -> None:
    loader = BatchLoader(plan, BatchGeometry(global_batch_size=8, micro_batch_size=8, sequence_length=32))
    step = loader.step_at(2)
    assert (step.first_position, step.stop_position) == (16, 27)
