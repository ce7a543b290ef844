"""docs/recipes.md names every key there is, and no other."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from batchwright.documents.inputs import TextSource
from batchwright.model.config import ModelConfig
from batchwright.recipe import DataRecipe, RunRecipe, SourceRecipe, StageRecipe
from batchwright.tokens.prepare_recipe import PrepareRecipe
from batchwright.training.config import TrainingConfig

PAGE = (Path(__file__).parents[1] / "docs" / "recipes.md").read_text(encoding="utf-8")
PARTS = dict(re.findall(r"^## \[(\w+)\](.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE))


@pytest.mark.parametrize(
    ("table", "owner"),
    [
        ("model", ModelConfig),
        ("training", TrainingConfig),
        ("data", DataRecipe),
        ("prepare", PrepareRecipe),
        ("run", RunRecipe),
    ],
)
def test_a_table_of_the_page_is_the_table_of_the_recipe(table: str, owner: type) -> None:
    rows = re.findall(r"^\| (`.+?) \|", PARTS[table], re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert named == {field.name for field in fields(owner)} - {"sources", "stages", "steps"}


def test_the_table_of_a_source_shows_each_of_its_keys() -> None:
    assert {field.name for field in fields(SourceRecipe)} <= set(re.findall(r"^(\w+) =", PARTS["data"], re.MULTILINE))


def test_the_table_of_a_text_source_shows_each_of_its_keys() -> None:
    assert {field.name for field in fields(TextSource)} <= set(re.findall(r"^(\w+) =", PARTS["prepare"], re.MULTILINE))


def test_every_key_of_a_stage_is_on_the_page() -> None:
    named = {field.name for field in fields(StageRecipe)} - {"sources"}
    assert named <= set(re.findall(r"\b(\w+)\b", PARTS["data"]))
