"""What filters drop is kept when asked for: whole, sorted, the same for any partitions, and beside the store only."""

from pathlib import Path

import orjson
import pytest

from batchwright.documents.presets import preset
from batchwright.foundation.errors import InputError
from batchwright.tokens.rejected import REJECTED, read_rejected
from tests.tokens.material import prepare, texts, write_jsonl

KEPT = """the people of this town have met on a cold morning and were glad to be with all that came
from far away because nobody had expected such numbers after those hard weeks during which snow lay deep
upon every road while trains stood still for days without heat or light until help reached them at last {}"""


def corpus(tmp_path: Path) -> Path:
    return write_jsonl(tmp_path / "a.jsonl", [*texts(12), *map(KEPT.format, range(3)), "{x} y z"])


def made(tmp_path: Path, name: str, **settings: object) -> dict[str, bytes]:
    source = corpus(tmp_path)
    prepare(source, tmp_path / name, steps=preset("gopher"), **settings)
    return {path.name: path.read_bytes() for path in (tmp_path / name / REJECTED).glob("*")}


def test_every_rejected_document_is_there_with_its_number(tmp_path: Path) -> None:
    kept = made(tmp_path, "store", keep_rejected=True)
    store = prepare(corpus(tmp_path), tmp_path / "store", steps=preset("gopher"), keep_rejected=True)
    lines = [orjson.loads(line) for content in kept.values() for line in content.splitlines()]
    by_filters = {k: v for k, v in store.manifest.tally["dropped"].items() if k != "duplicate"}
    assert {reason: v["documents"] for reason, v in by_filters.items()} == {
        Path(name).stem: content.count(b"\n") for name, content in kept.items()
    }
    assert sum(len(line["text"].encode()) for line in lines) == sum(v["bytes"] for v in by_filters.values())
    assert all(line["detail"] and line["source"] == "tests" and line["file"] == "a.jsonl" for line in lines)


def test_partitions_and_the_store_do_not_show_in_it(tmp_path: Path) -> None:
    assert made(tmp_path, "one", keep_rejected=True) == made(tmp_path, "two", keep_rejected=True, partition_bytes=50)
    made(tmp_path, "three")
    assert (tmp_path / "one/manifest.json").read_bytes() == (tmp_path / "three/manifest.json").read_bytes()


def test_a_finished_store_cannot_be_asked_for_them_later(tmp_path: Path) -> None:
    made(tmp_path, "store")
    with pytest.raises(InputError, match="not kept"):
        made(tmp_path, "store", keep_rejected=True)


def test_looking_at_a_reason(tmp_path: Path) -> None:
    kept = made(tmp_path, "store", keep_rejected=True)
    reason = Path(min(kept)).stem
    assert next(read_rejected(tmp_path / "store", reason, 1))["reason"] == reason
    with pytest.raises(InputError, match="was kept"):
        next(read_rejected(tmp_path / "store", "nonsense", 1))
