"""Every cell leads to the very byte of its file; every document leads to the steps that eat it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson
import pytest

from batchwright.batches.batch import Batch
from batchwright.batches.geometry import BatchGeometry
from batchwright.batches.loader import BatchLoader
from batchwright.batches.tracing import Cell, appearances_of, step_of, text_offset, trace_cell
from batchwright.documents.inputs import TextSource
from batchwright.engines.serial import SerialExecutor
from batchwright.foundation.errors import InputError
from batchwright.sequences.index_build import build_index
from batchwright.sequences.plan import Plan
from batchwright.sequences.sampler import Sampler
from batchwright.tokens.build import prepare_store
from batchwright.tokens.store import TokenStore
from batchwright.tokens.tokenizer import ByteTokenizer
from tests.tokens.material import prepare, small_tokenizer, texts, write_jsonl

B, T, EPOCHS = 3, 24, 3


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("tracing")
    (home / "files").mkdir()
    for number, text in enumerate(texts(20)):
        (home / "files" / f"{number:02}.txt").write_text(f"{number} {text}", encoding="utf-8")
    write_jsonl(home / "lines.jsonl", [f"line {text}" for text in texts(20)])
    return home


@pytest.fixture(scope="module")
def store(home: Path) -> TokenStore:
    """Plain files and lines; a token is a byte, so that a cell can be compared with its file."""
    return prepare_store(
        [
            TextSource(name="files", paths=(str(home / "files"),)),
            TextSource(name="lines", paths=(str(home / "lines.jsonl"),)),
        ],
        home / "store",
        tokenizer=ByteTokenizer(),
        executor=SerialExecutor(),
        shard_tokens=700,
    )


@pytest.fixture(scope="module")
def plan(store: TokenStore) -> Plan:
    return Plan.of(build_index(store, sequence_length=T), seed=5)


def loader_of(plan: Plan, rows: int = B) -> BatchLoader:
    return BatchLoader(plan, BatchGeometry(global_batch_size=rows, micro_batch_size=rows, sequence_length=T))


def byte_at(home: Path, store: TokenStore, cell: Cell) -> int | None:
    """The byte in the source file that a cell's target stands for; None where the document is at its end."""
    assert cell.origin is not None
    assert cell.segment is not None
    assert cell.token is not None
    before = text_offset(store, "train", cell.segment.document, cell.token)
    if cell.origin.path.endswith(".txt"):
        content = next(home.rglob(Path(cell.origin.path).name)).read_bytes()[cell.origin.offset :]
    else:
        line = (home / "lines.jsonl").read_bytes()[cell.origin.offset :].split(b"\n", 1)[0]
        content = orjson.loads(line)["text"].encode()
    return content[before] if before < len(content) else None


def cells_that_lead_elsewhere(home: Path, store: TokenStore, batch: Batch, late: int = 0) -> int:
    wrong = 0
    for b, t in np.argwhere(batch.loss_mask).tolist():
        cell = trace_cell(store, batch, b, t)
        if late and cell.token is not None:  # the broken twin's cell
            cell = replace(cell, token=max(0, cell.token - late))
        expected = None if cell.target_id == store.eot_id else cell.target_id
        wrong += byte_at(home, store, cell) != expected
    return wrong


def test_every_target_leads_to_its_byte_in_its_file(home: Path, store: TokenStore, plan: Plan) -> None:
    loader = loader_of(plan)
    for step in (0, 1, 7, plan.index.row_count // B, 1000):
        assert cells_that_lead_elsewhere(home, store, next(iter(loader.step_at(step)))) == 0


def test_a_trace_that_is_one_token_late_is_caught(home: Path, store: TokenStore, plan: Plan) -> None:
    batch = next(iter(loader_of(plan).step_at(0)))
    assert cells_that_lead_elsewhere(home, store, batch, late=1) > batch.target_count // 2


def test_padding_and_filler_lead_nowhere(store: TokenStore, plan: Plan) -> None:
    geometry = BatchGeometry(global_batch_size=1, micro_batch_size=2, sequence_length=T)
    loader = BatchLoader(plan, geometry)
    padded = next(p for p in range(plan.index.row_count) if not next(iter(loader.step_from(p))).loss_mask[0].all())
    batch = next(iter(loader.step_from(padded)))
    for b, t, row in ((0, T - 1, batch.rows[0]), (1, 0, -1)):
        cell = trace_cell(store, batch, b, t)
        assert (cell.segment, cell.origin, cell.token, cell.row) == (None, None, None, row)
    assert trace_cell(store, batch, 1, 0).position == -1
    with pytest.raises(InputError, match=r"no cell \(2, 0\) in a batch of \(2, 24\)"):
        trace_cell(store, batch, 2, 0)


def test_a_document_is_in_the_steps_it_is_said_to_be_in_and_in_no_other(store: TokenStore, plan: Plan) -> None:
    loader, sampler = loader_of(plan), Sampler(plan)
    rows = plan.index.row_count
    seen: dict[int, set[tuple[int, int, int]]] = {}
    for step in range(-(-EPOCHS * rows // B)):
        batch = next(iter(loader.step_at(step)))
        for b, position in enumerate(batch.positions.tolist()):
            if position < EPOCHS * rows:
                for document in np.unique(batch.documents[b][batch.loss_mask[b]]).tolist():
                    seen.setdefault(document, set()).add((position, step, b))
    for document in range(store.split("train").document_count):
        appearances = appearances_of(sampler, plan.index, document, range(EPOCHS), B)
        visits = {(v.position, v.step, v.place) for a in appearances for v in a.visits}
        assert visits == seen[document]
        assert all([v.epoch for v in a.visits] == list(range(EPOCHS)) for a in appearances)
        assert all(v.position // rows == v.epoch for a in appearances for v in a.visits)


def test_epochs_counted_with_another_batch_size_would_be_caught(store: TokenStore, plan: Plan) -> None:
    sampler = Sampler(plan)
    (first, *_) = appearances_of(sampler, plan.index, 3, [2], B)
    (other, *_) = appearances_of(sampler, plan.index, 3, [2], B + 1)
    assert first.visits[0].position == other.visits[0].position
    assert first.visits[0].step != other.visits[0].step
    assert step_of(first.visits[0].position, B) == (first.visits[0].step, first.visits[0].place)


def test_tokens_of_several_bytes_are_counted_in_bytes(home: Path) -> None:
    documents = [f"{text} 漢字 end" for text in texts(8)]
    store = prepare(write_jsonl(home / "b.jsonl", documents), home / "b", small_tokenizer(), validation_fraction=0.0)
    ids = store.ids_of("train", 2)
    text = store.text_of("train", 2).encode()
    for token in (0, 1, len(ids) // 2, len(ids) - 1):
        assert text[text_offset(store, "train", 2, token) :] == b"".join(
            store.tokenizer.token_bytes(i) for i in ids[token:-1].tolist()
        )


def test_another_store_is_refused(home: Path, store: TokenStore, plan: Plan) -> None:
    other = prepare(write_jsonl(home / "c.jsonl", texts(8)), home / "c")
    with pytest.raises(InputError, match="is of the store"):
        trace_cell(other, next(iter(loader_of(plan).step_at(0))), 0, 0)
