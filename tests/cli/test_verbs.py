"""Every verb does its work on real files, answers one object, and says what is wrong with what it is given."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import orjson
import pytest

from batchwright.cli.main import main
from batchwright.tokens.bpe import train_bpe
from batchwright.workflows import prepare as prepare_workflow
from batchwright.workflows.prepare import mostly_dropped
from batchwright.workflows.strings import Say
from batchwright.workflows.telling.text_to_tokens import tell_mostly_dropped
from tests.cli.conftest import Run

# prepare


def test_prepare_accounts_for_every_document_and_finds_finished_work(run: Run, text: Path, store: Path) -> None:
    words = ("prepare", text, "--out", store, "--tokenizer", "train:320", "--validation", "0.2", "--workers", "1")
    code, again = run(*words)
    assert code == 0
    tally = again["tally"]
    assert tally["read"]["documents"] == 63
    assert tally["kept"]["documents"] == again["counts"]["documents"] == 61
    assert set(tally["dropped"]) == {"empty", "duplicate"}
    assert again["splits"]["validation"]["documents"] > 0


def test_prepare_says_aloud_when_filters_drop_most_and_show_finds_what_went(run: Run, tmp_path: Path) -> None:
    steps, text, store = tmp_path / "steps.toml", tmp_path / "text.jsonl", tmp_path / "store"
    steps.write_text('[[step]]\nname = "gopher_quality"\nmin_words = 10\n')
    texts = ["The people of this town have met and were glad to be here.", *(f"short {n}" for n in range(9))]
    text.write_bytes(b"".join(orjson.dumps({"text": each}) + b"\n" for each in texts))
    words = ("prepare", text, "--out", store, "--steps", steps, "--keep-rejected", "--workers", "1")
    code, answer = run(*words)
    assert code == 0
    assert answer["mostly_dropped"]["documents"] == 0.9
    assert answer["mostly_dropped"]["reasons"] == {"gopher_short_doc": 9}
    _, answer = run("show", store, "--rejected", "gopher_short_doc", "-B", "2")
    assert [document["detail"] for document in answer["documents"]] == ["2 < 10", "2 < 10"]


@pytest.mark.parametrize(("language", "said"), [("en", "Most of this text was dropped"), ("zh", "大部分文本被丢弃")])
def test_the_warning_speaks_both_languages(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], language: str, said: str
) -> None:
    text = tmp_path / "a.py"
    text.write_text("x = 1\n")
    (tmp_path / "b.py").write_text("y" * 2000)
    words = ("prepare", tmp_path, "--out", tmp_path.with_suffix(".store"), "--clean", "code", "--workers", "1")
    assert main([*map(str, words), "--lang", language]) == 0
    assert said in capsys.readouterr().out


def test_a_vocabulary_is_not_learned_again_to_find_a_store_finished(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, store = tmp_path / "text.txt", tmp_path / "store"
    text.write_text("one two three four five six seven " * 40)
    words = ("prepare", text, "--out", store, "--workers", "1")
    code, first = run(*words, "--tokenizer", "train:262")
    assert code == 0
    learned: list[int] = []

    def learn(texts: list[bytes], size: int) -> bytes:
        learned.append(size)
        return train_bpe(texts, size)

    monkeypatch.setattr(prepare_workflow, "train_bpe", learn)
    assert run(*words, "--tokenizer", "train:262")[1]["fingerprint"] == first["fingerprint"]
    assert learned == []
    code, answer = run(*words, "--tokenizer", "train:263")
    assert (code, learned) == (1, [263])
    assert "262 ids" in answer["error"]["what"]
    saved = tmp_path / "saved.json"
    saved.write_bytes((store / "tokenizer.json").read_bytes())
    run("prepare", text, "--out", tmp_path / "other", "--tokenizer", saved, "--workers", "1")
    run("prepare", text, "--out", tmp_path / "other", "--tokenizer", "train:262", "--workers", "1")
    assert learned == [263, 262], "a store whose vocabulary came from a file says nothing about what would be learned"
    text.write_text("one two three four five six seven " * 41)
    code, answer = run(*words, "--tokenizer", "train:262")
    assert (code, learned) == (1, [263, 262])
    assert "changed: 1 input files changed" in answer["error"]["what"]


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("in_other_store", "--against"),
        ("near_duplicate", "--min-similarity"),
        ("duplicate", "--repeat"),
        ("language_score", "classifier"),
        ("contaminated", "--decontaminate"),
        ("no_text", "--text-column"),
        ("empty", "the files that you meant"),
        ("code_long_line", "source code"),
        ("gopher_short_doc", "--language"),
        ("a_step_of_ones_own", "--keep-rejected"),
    ],
)
def test_the_advice_fits_what_dropped_the_text(reason: str, said: str) -> None:
    amounts = {reason: {"documents": 8, "bytes": 80}, "gopher_long_doc": {"documents": 1, "bytes": 10}}
    (english,), (chinese,) = (
        tell_mostly_dropped(
            mostly_dropped({"read": {"documents": 10, "bytes": 100}, "dropped": amounts}), Say(language)
        )
        for language in ("en", "zh")
    )
    assert said in english
    assert ("--language" in english) == ("--language" in chinese) == (said in ("--language", "--keep-rejected"))


def test_advice_follows_the_bytes_where_most_of_the_bytes_went() -> None:
    amounts = {"empty": {"documents": 3, "bytes": 0}, "duplicate": {"documents": 1, "bytes": 90}}
    dropped = mostly_dropped({"read": {"documents": 10, "bytes": 100}, "dropped": amounts})
    assert dropped is not None
    assert list(dropped["reasons"]) == ["duplicate", "empty"]


def test_a_validation_split_that_holds_nothing_out_says_so(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text").mkdir()
    for number in range(3):
        (tmp_path / "text" / f"{number}.txt").write_text(f"text number {number}")
    words = ["prepare", tmp_path / "text", "--out", tmp_path / "store", "--workers", "1"]
    code, answer = run(*words, "--validation", "0.0001")
    assert (code, answer["nothing_held_out"]) == (0, {"validation": 0.0001, "documents": 3})
    for language, said in (("en", "Nothing was held out"), ("zh", "没有留出任何验证文档")):
        assert main([*map(str, words), "--validation", "0.0001", "--lang", language]) == 0
        assert said in "".join(capsys.readouterr().out.split("\n"))
    words[3] = tmp_path / "other"
    assert run(*words, "--validation", "0")[1]["nothing_held_out"] is None


def test_prepare_refuses_to_overwrite_another_store(run: Run, text: Path, store: Path) -> None:
    code, answer = run("prepare", text, "--out", store, "--tokenizer", "bytes", "--workers", "1")
    assert code == 1
    assert "not overwritten" in answer["error"]["what"]


def test_prepare_says_what_is_wrong_with_its_input(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    out = tmp_path / "out"
    for words in (["empty"], ["absent.txt"], ["*.jsonl"]):
        code, answer = run("prepare", *(tmp_path / word for word in words), "--out", out, "--workers", "1")
        assert code == 1, answer
        assert "kind" in answer["error"]
    (tmp_path / "bad.txt").write_bytes(b"fine \xff not fine")
    code, answer = run("prepare", tmp_path / "bad.txt", "--out", out, "--workers", "1")
    assert code == 1
    assert "bad.txt" in answer["error"]["text"]


def test_a_tokenizer_that_does_not_exist_is_named(run: Run, text: Path, tmp_path: Path) -> None:
    code, answer = run("prepare", text, "--out", tmp_path / "out", "--tokenizer", "byte")
    assert code == 1
    assert "'bytes'" in answer["error"]["text"]


# show


def test_show_prints_the_arrays_of_a_step(run: Run, store: Path) -> None:
    code, batch = run("show", store, "-B", 4, "-T", 32)
    assert code == 0
    assert batch["shape"] == [4, 32]
    for name in ("inputs", "targets", "loss_mask", "position_ids", "documents"):
        assert np.array(batch[name]).shape == (4, 32), name
    inputs, targets = np.array(batch["inputs"]), np.array(batch["targets"])
    positions, mask = np.array(batch["position_ids"]), np.array(batch["loss_mask"])
    within = (positions[:, 1:] > 0) & mask[:, 1:]
    assert (inputs[:, 1:][within] == targets[:, :-1][within]).all(), "a target is the next input of its document"
    assert batch["cu_seqlens"][0] == 0
    assert batch["cu_seqlens"][-1] == 128


def test_show_gives_other_batches_at_other_steps_and_the_same_one_again(run: Run, store: Path) -> None:
    first, third, again = (run("show", store, "-B", 2, "-T", 16, "--step", step)[1] for step in (0, 3, 0))
    assert first["inputs"] == again["inputs"] != third["inputs"]


def test_show_draws_for_people(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(store), "-B", "3", "-T", "64", "--lang", "zh"]) == 0
    drawn = capsys.readouterr().out
    assert "形状为 (B, T) 的数组" in drawn
    assert "\n0  " in drawn
    assert "\x1b" not in drawn, "no colour where nobody sees it"


def test_show_imports_no_torch(store: Path) -> None:
    code = (
        "import sys; from batchwright.cli.main import main; "
        f"main(['show', {str(store)!r}, '-B', '2', '-T', '16', '--json']); sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_show_refuses_what_is_not_there(run: Run, store: Path, tmp_path: Path) -> None:
    assert run("show", tmp_path / "absent")[0] == 1
    code, answer = run("show", store, "-B", 100_000, "-T", 32)
    assert code == 1
    assert "larger than the data" in answer["error"]["what"]
    code, answer = run("show", store, "--split", "validaton")
    assert "validation" in answer["error"]["text"]
    assert run("show", store, "--step", -1)[0] == 1


# verify


def test_verify_finds_a_flipped_bit_and_exits_with_3(run: Run, store: Path, tmp_path: Path) -> None:
    import shutil

    assert run("verify", store)[1]["sound"] is True
    broken = tmp_path / "broken"
    shutil.copytree(store, broken)
    file = broken / "00000.tokens"
    content = bytearray(file.read_bytes())
    content[-9] ^= 1
    file.write_bytes(content)
    code, answer = run("verify", broken)
    assert code == 3
    assert "00000.tokens" in orjson.dumps(answer).decode()


# plan


def test_plan_says_what_a_run_would_need(run: Run, recipe: Path) -> None:
    code, plan = run("plan", recipe)
    assert code == 0
    assert plan["geometry"]["accumulation"] == 2
    assert plan["steps"] == 8
    assert plan["peak_bytes"] == sum(plan["parts"].values())
    assert all(reason["because"] and reason["source"] for reason in plan["reasons"])


def test_plan_answers_for_a_run_whose_flops_are_more_than_64_bits(run: Run, recipe: Path) -> None:
    code, plan = run("plan", recipe, "--set", "training.tokens=1_000_000T")
    assert code == 0
    assert plan["flops"] > 2**64


def test_plan_knows_when_nothing_fits(run: Run, recipe: Path) -> None:
    code, answer = run("plan", recipe, "--memory-gib", "0.00001")
    assert code == 4
    assert answer["error"]["kind"] == "ResourceError"


def test_plan_imports_no_torch(recipe: Path) -> None:
    code = (
        "import sys; from batchwright.cli.main import main; "
        f"main(['plan', {str(recipe)!r}, '--json']); sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


# train


def test_train_pauses_goes_on_and_ends_where_one_run_ends(run: Run, recipe: Path, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    code, once = run("train", recipe, "--out", whole)
    assert (code, once["reason"], once["step"]) == (0, "finished", 8)
    assert run("train", recipe, "--out", parts, "--steps", 3)[1]["reason"] == "paused"
    code, resumed = run("train", recipe, "--out", parts)
    assert (code, resumed["resumed_from"], resumed["step"]) == (0, 3, 8)
    assert resumed["loss"] == once["loss"]
    assert resumed["validation_loss"] == once["validation_loss"]
    assert run("train", recipe, "--out", parts, "--fresh")[1]["resumed_from"] is None


def test_train_refuses_another_recipe_in_the_same_directory(run: Run, recipe: Path, tmp_path: Path) -> None:
    assert run("train", recipe, "--out", tmp_path / "run")[0] == 0
    code, answer = run("train", recipe, "--out", tmp_path / "run", "--set", "training.learning_rate=0.5")
    assert code == 1
    assert "learning_rate" in answer["error"]["what"]


def test_train_refuses_a_vocabulary_that_does_not_match(run: Run, recipe: Path, tmp_path: Path) -> None:
    code, answer = run("train", recipe, "--out", tmp_path / "run", "--set", "model.vocabulary_size=100")
    assert code == 1
    assert "320" in answer["error"]["text"]


@pytest.mark.parametrize("setting", ["layers=1_000_000_000", "vocabulary_size=2_000_000_000_000"])
def test_train_refuses_at_once_a_model_larger_than_the_machine(
    run: Run, recipe: Path, tmp_path: Path, setting: str
) -> None:
    code, answer = run("train", recipe, "--out", tmp_path / "run", "--set", f"model.{setting}")
    assert (code, answer["error"]["kind"]) == (4, "ResourceError")
    assert not (tmp_path / "run").exists()


def test_train_refuses_a_directory_that_holds_other_things(run: Run, recipe: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"")
    code, answer = run("train", recipe, "--out", tmp_path / "photos")
    assert code == 1
    assert "holds other things" in answer["error"]["what"]


# measure


def test_measure_noise_needs_micro_batches_and_gives_an_interval(run: Run, recipe: Path) -> None:
    code, noise = run("measure", "noise", recipe, "--steps", 6)
    assert code == 0
    assert noise["steps"] == 6
    assert noise["batch_tokens"] == 256


@pytest.mark.parametrize("steps", [0, -1])
def test_measure_noise_needs_steps(run: Run, recipe: Path, steps: int) -> None:
    code, answer = run("measure", "noise", recipe, "--steps", steps)
    assert (code, answer["error"]["kind"]) == (1, "InputError")


def test_measure_throughput_reports_what_it_ran(run: Run, recipe: Path) -> None:
    code, speed = run("measure", "throughput", recipe, "--micro-batch", 1, "--micro-batch", 2, "--seconds", "0.1")
    assert code == 0
    assert [point["micro_batch_size"] for point in speed["points"]] == [1, 2]


def test_measure_memory_puts_formula_beside_trace(run: Run, recipe: Path) -> None:
    words = ("--rows", 1, "--rows", 2, "--lengths", 16, "--widths", 16)
    code, memory = run("measure", "memory", recipe, *words)
    assert code == 0
    assert [row["B"] for row in memory["by_rows"]] == [1, 2]
    for row in memory["by_rows"]:
        assert row["peak_bytes"] == pytest.approx(row["traced_bytes"], rel=0.02)


def test_measure_sweep_compares_batches_at_equal_tokens(run: Run, recipe: Path, tmp_path: Path) -> None:
    words = ("--out", tmp_path / "sweep", "--batch", 4, "--batch", 8, "--tokens", "1024", "--workers", 1)
    code, swept = run("measure", "sweep", recipe, *words)
    assert code == 0
    assert len(swept["runs"]) == 6
    assert {len(r["losses"]) * r["tokens_per_step"] for r in swept["runs"]} == {1024}
    assert (tmp_path / "sweep" / "loss.png").read_bytes().startswith(b"\x89PNG")


# measure coverage


def test_measure_coverage_closes_its_ledger_for_every_packing(run: Run, store: Path, tmp_path: Path) -> None:
    picture = tmp_path / "waste.png"
    code, answer = run("measure", "coverage", store, "-T", 32, "--compare", "--tokens", "64k", "--plot", picture)
    assert code == 0
    policies = [each["packing"]["policy"] for each in answer["packings"]]
    assert policies == ["best-fit", "concatenate", "best-fit-truncated", "start-aligned"]
    for each in answer["packings"]:
        total = each["total"]
        assert total["stored"] == total["targets"] + sum(total["dropped"].values())
        assert total["slots"] == total["targets"] + total["padding"] == 32 * total["rows"]
        assert each["sources"][0]["epochs"] == pytest.approx(64_000 / total["slots"])
    assert answer["packings"][0]["total"]["documents_cut_needlessly"] == 0
    assert picture.read_bytes()[:4] == b"\x89PNG"


def test_measure_coverage_of_a_recipe_takes_its_rows_and_its_budget(run: Run, recipe: Path) -> None:
    code, answer = run("measure", "coverage", recipe, "--set", "data.packing=start-aligned")
    assert code == 0
    assert (answer["sequence_length"], answer["budget_tokens"]) == (32, 2048)
    assert [each["packing"]["policy"] for each in answer["packings"]] == ["start-aligned"]
    code, answer = run("measure", "coverage", recipe, "-T", 16, "--packing", "concatenate")
    assert (answer["sequence_length"], answer["packings"][0]["packing"]) == (16, {"policy": "concatenate"})


def test_measure_coverage_says_what_is_wrong(run: Run, store: Path, tmp_path: Path) -> None:
    for words, what in (
        ((store, "-T", 1), "a sequence of 1 tokens"),
        ((tmp_path / "absent",), "no finished token store"),
        ((store, "--tokens", "many"), "many"),
    ):
        code, answer = run("measure", "coverage", *words)
        assert code == 1
        assert what in answer["error"]["text"]


def test_measure_coverage_speaks_both_languages(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for language, said in (("zh", "不丢弃任何内容"), ("en", "drops nothing")):
        assert main(["measure", "coverage", str(store), "-T", "32", "--lang", language]) == 0
        assert said in capsys.readouterr().out


@pytest.mark.parametrize("verb", ["throughput", "memory"])
def test_what_measures_one_process_is_refused_under_torchrun(
    run: Run, recipe: Path, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    code, answer = run("measure", verb, recipe)
    assert (code, answer["error"]["kind"]) == (2, "UsageError")
    assert "torchrun started 2" in answer["error"]["what"]


def test_a_foreign_model_is_planned_and_its_memory_measured(run: Run, recipe: Path, tmp_path: Path) -> None:
    text = recipe.read_text(encoding="utf-8")
    head, _, tail = text.partition("[model]")
    model = '[model]\nfunction = "tests.model.by_function:build"\nvocabulary_size = 320\n'
    foreign = tmp_path / "foreign.toml"
    foreign.write_text(f"{head}{model}[training]{tail.partition('[training]')[2]}", encoding="utf-8")
    code, plan = run("plan", foreign)
    assert (code, plan["memory_source"], plan["flops"]) == (0, "trace of the real step on fake tensors", None)
    code, measured = run("measure", "memory", foreign, "--rows", 2, "--rows", 4, "--lengths", 16, "--lengths", 999)
    assert code == 0
    assert [(row["B"], row["T"]) for row in measured["by_rows"]] == [(2, 32), (4, 32)]
    assert [row["T"] for row in measured["by_length"]] == [16]
    assert plan["peak_bytes"] > measured["by_rows"][1]["traced_bytes"] * 0.9
