"""A missing extra is a sentence with the command that installs it."""

import sys
import tomllib
from pathlib import Path

import pytest

from batchwright.foundation.extras import EXTRAS, MissingExtraError, extra_missing, import_extra


def test_a_missing_extra_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)  # what an import finds where nothing is installed
    with pytest.raises(MissingExtraError) as caught:
        import_extra("tensorboard", "--tensorboard")
    assert str(caught.value) == (
        "--tensorboard needs tensorboard, which is not installed\n  try: pip install 'batchwright[tensorboard]'"
    )


def test_what_no_extra_brings_stays_an_import_error() -> None:
    assert extra_missing("no_such_package.part", "this") is None
    with pytest.raises(ModuleNotFoundError):
        import_extra("no_such_package", "this")


def test_what_is_there_is_imported() -> None:
    assert import_extra("json", "this").loads("[]") == []


def test_every_extra_exists_in_the_project_and_brings_its_package() -> None:
    project = tomllib.loads((Path(__file__).resolve().parents[2] / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for package, extra in EXTRAS.items():
        assert any(each.startswith(package) for each in extras[extra]), (package, extra)
