"""`show` answers where a position, a cell and a document lead; the answers agree with the batches it shows."""

from pathlib import Path

import pytest

from batchwright.cli.main import main
from tests.cli.conftest import Run

SHAPE = ("-B", 4, "-T", 32)


def test_a_position_is_the_row_that_its_step_shows(run: Run, store: Path) -> None:
    code, row = run("show", store, *SHAPE, "--position", 14)
    assert code == 0
    assert (row["position"], row["step"], row["place"]) == (14, 3, 2)
    batch = run("show", store, *SHAPE, "--step", 3)[1]
    for name in ("inputs", "targets", "loss_mask", "position_ids", "documents"):
        assert row[name] == [batch[name][2]], name
    laid = [segment["document"] for segment in row["segments"] for _ in range(segment["length"])]
    assert laid + [-1] * (32 - len(laid)) == batch["documents"][2]
    assert all(segment["path"].endswith(".txt") for segment in row["segments"])


def test_a_cell_leads_to_a_file(run: Run, store: Path, text: Path) -> None:
    batch = run("show", store, *SHAPE, "--step", 2)[1]
    code, cell = run("show", store, *SHAPE, "--step", 2, "--cell", "1,5")
    assert code == 0
    assert (cell["step"], cell["b"], cell["t"]) == (2, 1, 5)
    assert (cell["input"]["id"], cell["target"]["id"]) == (batch["inputs"][1][5], batch["targets"][1][5])
    assert cell["segment"]["document"] == batch["documents"][1][5]
    content = (text / Path(cell["origin"]["path"]).name).read_bytes()[cell["text_offset"] :]
    assert content.startswith(cell["target"]["text"].encode())


def test_a_document_is_found_by_number_id_and_file_and_in_the_steps_it_names(run: Run, store: Path) -> None:
    code, by_number = run("show", store, *SHAPE, "--document", 7, "--epochs", 2)
    assert code == 0
    for name in (by_number["id"], by_number["path"], Path(by_number["path"]).name):
        assert run("show", store, *SHAPE, "--document", name, "--epochs", 2) == (0, by_number)
    assert sum(a["segment"]["length"] for a in by_number["appearances"]) == by_number["tokens"]
    for appearance in by_number["appearances"]:
        segment = appearance["segment"]
        assert [visit["epoch"] for visit in appearance["visits"]] == [0, 1]
        for visit in appearance["visits"]:
            batch = run("show", store, *SHAPE, "--step", visit["step"])[1]
            slots = batch["documents"][visit["place"]][segment["slot"] : segment["slot"] + segment["length"]]
            assert slots == [7] * segment["length"]


def test_the_text_of_a_document_is_shown_from_its_beginning(run: Run, store: Path, text: Path) -> None:
    found = run("show", store, "--document", "62.txt")[1] if split_of(run, store) == "train" else None
    found = found or run("show", store, "--document", "62.txt", "--split", "validation")[1]
    assert (text / "62.txt").read_text(encoding="utf-8").startswith(found["text_head"])
    assert "中文文档 <|endoftext|> 不是边界" in found["text_head"]


def split_of(run: Run, store: Path) -> str:
    return "train" if run("show", store, "--document", "62.txt")[0] == 0 else "validation"


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("wish", [("--position", "14"), ("--cell", "1,5"), ("--document", "7")])
def test_people_are_told_in_tables(
    wish: tuple[str, str], language: str, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", str(store), *map(str, SHAPE), *wish, "--lang", language]) == 0
    told = capsys.readouterr().out
    assert ".txt" in told
    assert ("document" in told) if language == "en" else ("文档" in told)
    assert "\x1b" not in told


def test_a_cell_of_padding_says_that_it_is_padding(run: Run, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for step in range(30):
        mask = run("show", store, *SHAPE, "--step", step)[1]["loss_mask"]
        empty = [b for b, row in enumerate(mask) if not row[-1]]
        if empty:
            break
    else:
        raise AssertionError("no padding in 30 steps")
    words = ["show", str(store), *map(str, SHAPE), "--step", str(step), "--cell", f"{empty[0]},31"]
    assert main([*words, "--lang", "en"]) == 0
    assert "none: padding" in capsys.readouterr().out
    assert run(*words)[1]["origin"] is None


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--cell", "1"), 2, "--cell 0,17"),
        (("--cell", "9,5"), 1, "no cell (9, 5) in a batch of (4, 32)"),
        (("--position", -1), 1, "count from 0"),
        (("--document", "nothing.txt"), 1, "no document is named"),
        (("--document", "99999"), 1, "there is no document 99,999"),
        (("--document", "7", "--epochs", 0), 1, "--epochs 1"),
        (("--document", "7", "--position", 3), 2, "one of them"),
        (("--cell", "0,0", "--step", -2), 1, "steps count from 0"),
    ],
)
def test_a_wish_that_cannot_be_met_is_answered_with_one_that_can(
    words: tuple[object, ...], code: int, said: str, run: Run, store: Path
) -> None:
    found, answer = run("show", store, *SHAPE, *words)
    assert found == code
    assert said in answer["error"]["text"]
