"""`export` and `import`: there and back by the command itself, and what is wrong with what it is given."""

import subprocess
import sys
from pathlib import Path

import pytest

from batchwright.cli.main import main
from batchwright.tokens.store import TokenStore
from tests.adapters.documents_of_ids import held
from tests.cli.conftest import Run


@pytest.mark.parametrize("form", ["megatron", "nanogpt", "parquet"])
def test_a_store_goes_there_and_back(run: Run, store: Path, tmp_path: Path, form: str) -> None:
    code, exported = run("export", store, tmp_path / "out", "--to", form)
    assert code == 0
    opened = TokenStore.open(store)
    assert exported["store"] == opened.fingerprint
    code, again = run("export", store, "--to", form, tmp_path / "out")
    assert (code, again["found_finished"]) == (0, True)
    code, imported = run("import", form, tmp_path / "out", "--out", tmp_path / "back", "--licence", "CC0")
    assert code == 0
    back = TokenStore.open(tmp_path / "back")
    assert back.fingerprint == imported["fingerprint"]
    for split in ("train", "validation"):
        assert held(back, split) == held(opened, split)
    assert back.text_of("train", 0) == opened.text_of("train", 0), "the vocabulary came along"
    code, finished = run("import", form, tmp_path / "out", "--out", tmp_path / "back", "--licence", "CC0")
    assert (code, finished["fingerprint"]) == (0, imported["fingerprint"])
    code, _ = run("verify", tmp_path / "back")
    assert code == 0


def test_ids_without_a_vocabulary_are_shown_as_numbers(run: Run, store: Path, tmp_path: Path) -> None:
    run("export", store, tmp_path / "out", "--to", "nanogpt")
    opened = TokenStore.open(store)
    words = ["import", "nanogpt", tmp_path / "out" / "train.bin", "--out", tmp_path / "back"]
    code, answer = run(*words)
    assert code == 1
    assert "--vocabulary-size" in answer["error"]["text"]
    code, _ = run(*words, "--vocabulary-size", opened.vocabulary_size, "--eot-id", opened.eot_id)
    assert code == 0
    assert main(["show", str(tmp_path / "back"), "-B", "2", "-T", "32", "--lang", "en"]) == 0


def test_it_speaks_both_languages(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(store), str(tmp_path / "out"), "--to", "parquet", "--lang", "zh"]) == 0
    assert "篇文档" in capsys.readouterr().out
    assert main(["import", "parquet", str(tmp_path / "out"), "--out", str(tmp_path / "in"), "--lang", "en"]) == 0
    assert "fingerprint" in capsys.readouterr().out


def test_a_format_that_does_not_exist_is_a_usage_error(run: Run, store: Path, tmp_path: Path) -> None:
    assert run("export", store, tmp_path / "out", "--to", "megatorn")[0] == 2
    assert run("import", "nanogtp", tmp_path, "--out", tmp_path / "in")[0] == 2


def test_an_export_of_another_store_is_not_overwritten(run: Run, store: Path, tmp_path: Path) -> None:
    run("export", store, tmp_path / "out", "--to", "nanogpt")
    code, answer = run("export", store, tmp_path / "out", "--to", "parquet")
    assert code == 1
    assert "not overwritten" in answer["error"]["what"]
    code, answer = run("import", "parquet", tmp_path / "out", "--out", tmp_path / "in")
    assert code == 1
    assert "export to nanogpt" in answer["error"]["what"]


def test_neither_verb_needs_torch(store: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from batchwright.cli.main import main; "
        f"main(['export', {str(store)!r}, {str(tmp_path / 'out')!r}, '--to', 'megatron']); "
        f"main(['import', 'megatron', {str(tmp_path / 'out')!r}, '--out', {str(tmp_path / 'in')!r}]); "
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
