"""A dry run foretells what the job then does, from a sample, and writes nothing."""

import gzip
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from batchwright.documents.cleaning import DEFAULT_STEPS
from batchwright.documents.inputs import TextSource
from batchwright.tokens.tokenizer import ByteTokenizer
from batchwright.workflows import rehearsal
from batchwright.workflows.prepare import prepare
from batchwright.workflows.rehearsal import Rehearsal, rehearse


def written(path: Path, count: int, seed: int = 0) -> list[str]:
    """Different texts of very different lengths, a fifth of them empty; as JSONL at `path`."""
    random = np.random.default_rng(seed)
    sizes = random.lognormal(7.5, 0.8, count).astype(int) * (random.random(count) > 0.2)
    texts = [f"{number} " * size if size else " " for number, size in enumerate(sizes.tolist())]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return texts


def tried(path: Path, **options: int) -> Rehearsal:
    source = TextSource(name="text", paths=(str(path),))
    place = path.parent / "store"
    return rehearse([source], place, tokenizer=ByteTokenizer(), workers=2, steps=DEFAULT_STEPS, **options)


def test_a_sample_that_is_everything_counts_what_the_job_then_counts(tmp_path: Path) -> None:
    written(tmp_path / "text.jsonl", 100)
    found = tried(tmp_path / "text.jsonl")
    assert not (tmp_path / "store").exists()
    store = prepare([TextSource(name="text", paths=(str(tmp_path / "text.jsonl"),))], tmp_path / "store", workers=1)
    counts = store.manifest.counts()
    assert found.whole
    for estimate, truth in (
        (found.documents, store.manifest.tally["read"]["documents"]),
        (found.kept, counts.documents),
        (found.text_bytes, counts.text_bytes),
        (found.tokens, counts.tokens),
    ):
        assert (estimate.low, estimate.value, estimate.high) == (truth, truth, truth)
    assert found.tally["dropped"]["empty"]["documents"] == store.manifest.tally["dropped"]["empty"]["documents"]
    payload = sum(file.stat().st_size for file in (tmp_path / "store").glob("0*"))
    assert payload == pytest.approx(found.store_bytes, rel=0.05)


@pytest.mark.parametrize("kind", ["jsonl", "jsonl.gz", "parquet", "folder"])
def test_the_interval_holds_the_truth_about_as_often_as_it_says(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rehearsal, "PIECE_BYTES", 40_000)
    texts = written(tmp_path / "text.jsonl", 600)
    place = tmp_path / f"text.{kind}"
    if kind == "folder":
        place.mkdir()
        for number, text in enumerate(texts):
            (place / f"{number:03d}.txt").write_text(text)
    elif kind == "parquet":
        pa.parquet.write_table(pa.table({"text": texts}), place, row_group_size=8, compression="none")
    elif kind == "jsonl.gz":
        place = tmp_path / "parts"
        place.mkdir()
        lines = (tmp_path / "text.jsonl").read_bytes().splitlines(keepends=True)
        for part in range(30):
            (place / f"{part:02d}.jsonl.gz").write_bytes(gzip.compress(b"".join(lines[part::30])))
    truth = sum(len(text) + 1 for text in texts if not text.isspace())
    size = sum(path.stat().st_size for path in ([place] if place.is_file() else place.iterdir()))
    held = 0
    for seed in range(20):
        found = tried(place, sample_bytes=size // 4, seed=seed)
        assert not found.whole
        assert found.sampled_bytes < size / 2
        held += found.tokens.low <= truth <= found.tokens.high
    assert held >= 16  # of 20; two standard errors hold the truth 19 times


def test_a_large_compressed_file_is_known_by_its_beginning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsal, "PIECE_BYTES", 2_000_000)
    random = np.random.default_rng(0)
    texts = [" ".join(map(str, random.integers(0, 10**9, 300))) for _ in range(4_000)]
    place = tmp_path / "text.jsonl.gz"
    place.write_bytes(gzip.compress("".join(json.dumps({"text": text}) + "\n" for text in texts).encode()))
    found = tried(place, sample_bytes=1_000_000)
    assert not found.whole
    assert found.tally["read"]["documents"] < 2_000
    assert found.documents.value == pytest.approx(4_000, rel=0.15)
