"""docs/formats.md is true: its code reads what the library writes, and every field that is written is named there."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from batchwright.adapters.exporting import export_store
from batchwright.foundation.files import read_json
from batchwright.sequences.index_build import build_index
from batchwright.sequences.plan import Plan
from batchwright.tokens.store import TokenStore
from tests.adapters.documents_of_ids import store_of
from tests.adapters.streams import loader_of
from tests.tokens.material import prepare, texts, write_jsonl

PAGE = (Path(__file__).parents[1] / "docs" / "formats.md").read_text(encoding="utf-8")
ORDER, READER = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def names_of(code: str) -> dict[str, Any]:
    scope: dict[str, Any] = {}
    exec(compile(code, "docs/formats.md", "exec"), scope)
    return scope


@pytest.fixture
def store(tmp_path: Path) -> TokenStore:
    return prepare(write_jsonl(tmp_path / "text.jsonl", texts()), tmp_path / "store")


def test_the_reader_is_numpy_and_25_lines() -> None:
    assert set(re.findall(r"^(?:import|from) (\w+)", READER, re.MULTILINE)) == {"json", "pathlib", "numpy"}
    lines = [line for line in READER.splitlines() if line.strip() and not line.startswith(("import", "from"))]
    assert len(lines) <= 25


def test_the_reader_reads_documents_and_provenance(store: TokenStore) -> None:
    page = names_of(READER)
    for split in ("train", "validation"):
        found = [ids.tolist() for ids in page["documents"](store.directory, split)]
        assert len(store.split(split).shards) > (split == "train")
        assert found == [store.ids_of(split, number).tolist() for number in range(store.split(split).document_count)]
    record = page["shards"](store.directory, "train")[0]["provenance"][0]
    assert record["id"].tobytes().hex() == store.provenance("train", 0).id


def test_the_reader_reads_rows_in_the_pages_order(store: TokenStore) -> None:
    plan = Plan.of(build_index(store, sequence_length=16), seed=7)
    reader, order = names_of(READER), names_of(ORDER)
    rows = plan.index.row_count
    for position in (0, 1, rows - 1, rows, 2 * rows + 3):
        batch = next(loader_of(plan, 1, 1).step_from(position))
        epoch, row = order["row_at"](position, rows, 7, "text")
        assert (epoch, row) == (int(batch.epochs[0]), int(batch.rows[0]))
        segments = reader["row"](store.directory, plan.index.directory, row)
        mask = batch.loss_mask[0]
        assert np.array_equal(np.concatenate([inputs for inputs, _ in segments]), batch.inputs[0][mask])
        assert np.array_equal(np.concatenate([targets for _, targets in segments]), batch.targets[0][mask])


def test_a_page_that_forgets_the_guard_would_be_caught(store: TokenStore) -> None:
    page = names_of(READER.replace("zip([1,", "zip([0,"))
    found = [ids.tolist() for ids in page["documents"](store.directory)]
    assert found != [store.ids_of("train", number).tolist() for number in range(store.split("train").document_count)]


def keys_of(value: Any) -> set[str]:
    """Names of fields, at any depth, but of what a user names."""
    if isinstance(value, list):
        return set().union(*(keys_of(each) for each in value)) if value else set()
    if not isinstance(value, dict):
        return set()
    named_by_users = {"special_tokens", "recipe", "tally", "packing", "skipped_files", "batch"}
    return set(value) | set().union(*(keys_of(v) for k, v in value.items() if k not in named_by_users), set())


def test_every_field_that_is_written_is_on_the_page(store: TokenStore, tmp_path: Path) -> None:
    index = build_index(store, sequence_length=16)
    export_store(store_of(tmp_path / "ids", [[1], [2]]), tmp_path / "out", to="nanogpt")
    written = keys_of(read_json(store.directory / "manifest.json"))
    written |= keys_of(
        {k: v for k, v in read_json(index.directory / "manifest.json").items() if k not in ("counts", "origin")}
    )
    written |= keys_of(Plan.of(index).to_dict()) | keys_of(read_json(tmp_path / "out" / "manifest.json"))
    words = set(re.findall(r"[\w.]+", PAGE))
    assert written - words == {"text_column"}, "how a source was read"
