"""`prepare RECIPE.toml` does what the same flags do, and a recipe that changed or errs is told so by name."""

from dataclasses import fields
from inspect import signature
from pathlib import Path

import pytest

from batchwright.cli.prepare import prepare
from batchwright.documents.inputs import TextSource
from batchwright.tokens.prepare_recipe import PrepareRecipe
from tests.cli.conftest import Run
from tests.tokens.material import stored_bytes

FLAGS = ("--tokenizer", "bytes", "--validation", "0.3", "--seed", "4", "--workers", "1")
TABLE = 'tokenizer = "bytes"\nvalidation = 0.3\nseed = 4\n'


def pages_aside(store: Path) -> dict[str, bytes]:
    """What a store holds but the pages beside it, which name the place of the text."""
    return {name: content for name, content in stored_bytes(store).items() if name not in ("report.md", "README.md")}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with two folders of text, from where commands are given."""
    monkeypatch.chdir(tmp_path)
    for folder in ("web", "notes"):
        (tmp_path / folder).mkdir()
        for number in range(9):
            text = f"{folder} " + "people of this town have met and were glad " * (number + 1)
            (tmp_path / folder / f"{number}.txt").write_text(text)
    return tmp_path


def recipe(home: Path, table: str, sources: str = '[[prepare.sources]]\nname = "text"\npaths = ["web"]\n') -> Path:
    file = home / "recipe.toml"
    file.write_text(f'[data]\nstore = "made"\n\n[prepare]\n{table}\n{sources}')
    return file


def test_a_recipe_and_the_same_flags_make_the_same_bytes(run: Run, home: Path) -> None:
    (home / "steps.toml").write_text('[[step]]\nname = "gopher_quality"\nmin_words = 20\n')
    steps = '\n[[prepare.steps]]\nname = "gopher_quality"\nmin_words = 20\n'
    assert run("prepare", "web", "--out", "typed", *FLAGS, "--steps", "steps.toml")[0] == 0
    file = recipe(home, TABLE, f'[[prepare.sources]]\nname = "text"\npaths = ["web"]\n{steps}')
    code, answer = run("prepare", file, "--workers", "1")
    assert (code, answer["store"]) == (0, str(home / "made"))
    assert pages_aside(home / "made") == pages_aside(home / "typed")
    # A finished job changes nothing, said either way.
    assert run("prepare", "web", "--out", "made", *FLAGS, "--steps", "steps.toml")[0] == 0


def test_several_sources_keep_their_names_and_licences(run: Run, home: Path) -> None:
    sources = (
        '[[prepare.sources]]\nname = "web"\npaths = ["web"]\nlicence = "CC0-1.0"\n'
        '[[prepare.sources]]\nname = "notes"\npaths = ["notes/*.txt"]\n'
    )
    assert run("prepare", recipe(home, "", sources), "--out", "both")[0] == 0
    typed = 'prepare.sources=[{name="web", paths=["web"], licence="CC0-1.0"}, {name="notes", paths=["notes/*.txt"]}]'
    code, answer = run("prepare", "--set", typed, "--out", "set")
    assert [(source["name"], source["licence"]) for source in answer["sources"]] == [
        ("web", "CC0-1.0"),
        ("notes", "unknown"),
    ]
    assert (code, answer["counts"]["documents"]) == (0, 18)
    assert pages_aside(home / "both") == pages_aside(home / "set")


def test_a_flag_beats_the_environment_and_the_environment_the_recipe(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = recipe(home, 'validation = 0.2\nseed = 1\nclean = "fineweb"\n')
    monkeypatch.setenv("BATCHWRIGHT_PREPARE__SEED", "2")
    monkeypatch.setenv("BATCHWRIGHT_PREPARE__VALIDATION", "0.4")
    code, answer = run("prepare", file, "--seed", "3", "--clean", "none", "--set", "prepare.validation=0.5")
    assert code == 0, answer
    manifest = (home / "made" / "manifest.json").read_text()
    assert '"seed": 3' in manifest
    assert '"validation_fraction": 0.5' in manifest
    assert "gopher" not in manifest
    code, answer = run("prepare", "web", "--out", "elsewhere")  # the environment is heard without a recipe, too
    assert code == 0, answer
    assert '"seed": 2' in (home / "elsewhere" / "manifest.json").read_text()


def test_a_changed_recipe_is_refused_with_what_differs(run: Run, home: Path) -> None:
    assert run("prepare", recipe(home, "seed = 1\n"))[0] == 0
    code, answer = run("prepare", recipe(home, 'seed = 2\nclean = "code"\n'))
    assert code == 1
    assert "changed: seed: 1 → 2; clean: none → code\n" in answer["error"]["text"]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("tokeniser = 1", "did you mean 'tokenizer'?"),
        ('clean = "finweb"', "did you mean 'fineweb'?"),
        ("validation = 1.5", "lies between 0 and 1"),
        ('clean = "c4"\n[[prepare.steps]]\nname = "html"', "both a preset"),
        ('[[prepare.steps]]\nname = "htm"', "'html'"),
        ('[[prepare.steps]]\nname = "html"\nfurnitur = true', "'furniture'"),
        ('[[prepare.sources]]\nname = "text"\npath = ["web"]', "did you mean 'paths'?"),
        ('[[prepare.sources]]\nname = "text"\npaths = ["notes"]', "two sources are named 'text'"),
        ('[[prepare.sources]]\nname = "other"\npaths = []', "names no path"),
    ],
)
def test_a_mistake_in_the_table_is_named(run: Run, home: Path, table: str, said: str) -> None:
    code, answer = run("prepare", recipe(home, table))
    assert code == 1
    assert said in answer["error"]["text"]
    assert not (home / "made").exists()


def test_what_names_no_text_or_no_place_is_refused(run: Run, home: Path) -> None:
    code, answer = run("prepare", recipe(home, "", ""))
    assert (code, "names no text" in answer["error"]["text"]) == (1, True)
    assert run("prepare", "web")[0] == 2
    assert run("prepare", "--out", "made")[0] == 2
    code, answer = run("prepare", recipe(home, ""), "--licence", "MIT")
    assert (code, "[[prepare.sources]]" in answer["error"]["text"]) == (2, True)


def test_every_flag_is_a_key_of_the_table_or_of_a_source_or_says_where_work_is_done() -> None:
    places = {"out", "set", "engine", "workers", "ray_address", "dry_run", "face"}
    keys = {field.name for kind in (PrepareRecipe, TextSource) for field in fields(kind)}
    assert set(signature(prepare).parameters) - places == keys - {"paths", "format"}


def test_a_dry_run_of_a_recipe_writes_nothing(run: Run, home: Path) -> None:
    code, answer = run("prepare", recipe(home, ""), "--dry-run", "--workers", "1")
    assert (code, answer["dry_run"]) == (0, True)
    assert not (home / "made").exists()
