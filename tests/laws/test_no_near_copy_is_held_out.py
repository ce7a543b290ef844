"""Law: a near copy of a text that is trained on is not held out to measure on, nor the other way round.

The broken twin splits by each document's own id.
"""

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from batchwright.documents.near_duplicates import NearDuplicates
from batchwright.tokens.selection import Selection
from batchwright.tokens.store import TokenStore

from ..tokens.material import near_texts, prepare, texts, write_jsonl

PAIRS = 40


def leaks(store: TokenStore) -> int:
    """Pairs of one trained and one held-out document that share more than 0.7 of their runs of five words."""
    runs: dict[str, list[set[tuple[str, ...]]]] = {}
    for name, split in store.splits.items():
        words = [store.text_of(name, document).split() for document in range(split.document_count)]
        runs[name] = [{tuple(of[n : n + 5]) for n in range(len(of) - 4)} for of in words if len(of) > 20]
    assert min(map(len, runs.values())) > 5
    return sum(len(a & b) > 0.7 * len(a | b) for a, b in product(runs["train"], runs["validation"]))


def store(tmp_path: Path, name: str, near: NearDuplicates | None) -> TokenStore:
    source = write_jsonl(tmp_path / "a.jsonl", [*texts(30), *near_texts(PAIRS)])
    return prepare(source, tmp_path / name, validation_fraction=0.4, partition_bytes=4_000, near_duplicates=near)


@pytest.mark.parametrize("action", ["drop", "split"])
def test_no_near_copy_of_a_trained_text_is_held_out(tmp_path: Path, action: Any) -> None:
    prepared = store(tmp_path, action, NearDuplicates(action=action))
    assert leaks(prepared) == 0
    copies = prepared.manifest.tally["dropped"].get("near_duplicate", {"documents": 0})["documents"]
    assert copies == (PAIRS if action == "drop" else 0)


def test_a_split_that_looks_for_exact_copies_alone_leaks(tmp_path: Path) -> None:
    assert leaks(store(tmp_path, "off", None)) > PAIRS / 4


def test_a_split_by_each_documents_own_id_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Selection._fates_of_cluster

    def broken(self: Selection, roots: np.ndarray, first: int, base: int, heads: np.ndarray) -> np.ndarray:
        return honest(self, np.arange(first, first + len(roots)), first, base, heads)

    monkeypatch.setattr(Selection, "_fates_of_cluster", broken)
    assert leaks(store(tmp_path, "split", NearDuplicates(action="split"))) > PAIRS / 4
