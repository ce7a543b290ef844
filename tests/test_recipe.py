"""A recipe says what a run is: one tree, refused with the nearest valid name, weakest layer first."""

from pathlib import Path

import pytest

from batchwright.foundation.errors import RecipeError
from batchwright.recipe import Recipe, load_recipe, load_text_recipe

RECIPES = Path(__file__).parents[1] / "recipes"


@pytest.fixture
def demo() -> str:
    return (RECIPES / "demo.toml").read_text(encoding="utf-8")


def written(directory: Path, text: str) -> Path:
    file = directory / "recipe.toml"
    file.write_text(text, encoding="utf-8")
    return file


def load(directory: Path, text: str, *settings: str, **environment: str) -> Recipe:
    return load_recipe(written(directory, text), settings=settings, environment=environment)


@pytest.mark.parametrize("file", sorted(RECIPES.glob("*.toml")), ids=lambda file: file.stem)
def test_every_recipe_of_the_repository_loads_and_survives_a_round_trip(file: Path, tmp_path: Path) -> None:
    recipe = load_recipe(file, environment={})
    assert load_recipe(written(tmp_path, recipe.to_toml()), environment={}) == recipe


def test_the_gpt2_recipe_has_gpt2_s_size() -> None:
    model = load_recipe(RECIPES / "gpt2-124m.toml", environment={}).model
    assert model.parameter_count() == pytest.approx(124e6, rel=0.01)


def test_an_unknown_key_is_refused_with_its_table_and_the_nearest_name(tmp_path: Path, demo: str) -> None:
    with pytest.raises(RecipeError, match=r"unknown key 'learning_rat' in \[training\]") as caught:
        load(tmp_path, demo.replace("learning_rate", "learning_rat"))
    assert "did you mean 'learning_rate'?" in str(caught.value)
    assert "recipe.toml" in str(caught.value)


def test_an_unknown_table_is_refused_with_the_nearest_name(tmp_path: Path, demo: str) -> None:
    with pytest.raises(RecipeError, match="unknown key 'trainig'") as caught:
        load(tmp_path, demo.replace("[training]", "[trainig]"))
    assert "did you mean 'training'?" in str(caught.value)


def test_layers_are_laid_weakest_first(tmp_path: Path, demo: str) -> None:
    assert load(tmp_path, demo).training.seed == 0
    environment = {"BATCHWRIGHT_TRAINING__SEED": "5", "BATCHWRIGHT_DATA__STORE": "elsewhere"}
    assert load(tmp_path, demo, **environment).training.seed == 5
    laid = load(tmp_path, demo, "training.seed=7", **environment)
    assert (laid.training.seed, laid.data.store) == (7, "elsewhere")


def test_a_wrong_type_says_what_was_expected_and_who_said_it(tmp_path: Path, demo: str) -> None:
    with pytest.raises(RecipeError, match=r"training.tokens must be a whole number, not 'many'") as caught:
        load(tmp_path, demo, "training.tokens=many")
    assert "--set training.tokens=many" in str(caught.value)
    with pytest.raises(RecipeError, match=r"training.isolate must be true or false, not 1"):
        load(tmp_path, demo, BATCHWRIGHT_TRAINING__ISOLATE="1")
    with pytest.raises(RecipeError, match="must be a whole number, not True"):
        load(tmp_path, demo, "model.layers=true")
    with pytest.raises(RecipeError, match="must be a list of 2"):
        load(tmp_path, demo, "training.betas=[0.9]")


def test_a_choice_is_refused_with_the_nearest_one(tmp_path: Path, demo: str) -> None:
    with pytest.raises(RecipeError, match="did you mean 'best-fit'"):
        load(tmp_path, demo, "data.packing=bestfit")


def test_counts_may_be_written_as_people_write_them(tmp_path: Path, demo: str) -> None:
    for text in ("2M", "2e6", "2_000_000", '"2M"'):
        assert load(tmp_path, demo, f"training.tokens={text}").training.tokens == 2_000_000


def test_none_switches_an_optional_value_off(tmp_path: Path, demo: str) -> None:
    assert load(tmp_path, demo).training.clip_norm == 1.0
    assert load(tmp_path, demo, "training.clip_norm=none").training.clip_norm is None


def test_a_missing_key_and_a_missing_table_are_named(tmp_path: Path, demo: str) -> None:
    with pytest.raises(RecipeError, match=r"model.width is missing"):
        load(tmp_path, demo.replace("width = 64\n", "", 1))
    with pytest.raises(RecipeError, match="is missing"):
        load(tmp_path, "")


def test_the_check_of_a_field_s_owner_arrives_with_its_table(tmp_path: Path, demo: str) -> None:
    with pytest.raises(RecipeError, match="heads") as caught:
        load(tmp_path, demo, "model.heads=5")
    assert "[model]" in str(caught.value) or "model" in (caught.value.where or "")


def test_the_model_may_not_be_shorter_than_its_rows(tmp_path: Path, demo: str) -> None:
    assert load(tmp_path, demo).model.sequence_length == 128
    with pytest.raises(RecipeError, match="is longer than the model's 64"):
        load(tmp_path, demo, "model.sequence_length=64")


def test_what_is_no_toml_or_no_file_is_a_recipe_error(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="not TOML"):
        load(tmp_path, "[training")
    with pytest.raises(RecipeError, match="cannot be read"):
        load_recipe(tmp_path / "absent.toml", environment={})
    with pytest.raises(RecipeError, match=r"TABLE.KEY=VALUE"):
        load(tmp_path, "", "seed=1")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("seed = " + "[" * 50_000, "not TOML"),
        ("seed = 1" + "0" * 5_000, "not TOML"),
        ("seed = 1" + "0" * 40, "64 bits"),
        ('tokens = "' + "9" * 5_000 + '"', "a whole number"),
        ("learning_rate = 1" + "0" * 400, "64 bits"),
        ("tokens = 1e30", "64 bits"),
    ],
    ids=["nested", "digits", "integer", "count", "float", "exponent"],
)
def test_numbers_beyond_64_bits_and_endless_nesting_are_refused_as_recipes(
    tmp_path: Path, demo: str, line: str, said: str
) -> None:
    name = line.partition(" ")[0]
    with pytest.raises(RecipeError, match=said):
        load(tmp_path, "\n".join(line if each.startswith(f"{name} ") else each for each in demo.splitlines()))


def test_a_setting_that_no_parser_can_take_is_refused_like_any_other(tmp_path: Path, demo: str) -> None:
    for text in ("[" * 50_000, "1" + "0" * 5_000):
        with pytest.raises(RecipeError, match=r"training\.seed must be"):
            load(tmp_path, demo, f"training.seed={text}")


def test_sources_of_a_mixture_are_tables_in_a_list(tmp_path: Path, demo: str) -> None:
    mixed = demo + (
        '\n[[data.sources]]\nname = "web"\nstore = "stores/web"\nweight = 0.7\n'
        '\n[[data.sources]]\nname = "code"\nstore = "stores/code"\nweight = 0.3\nepoch_cap = 4\n'
    )
    recipe = load(tmp_path, mixed)
    assert [(source.name, source.weight, source.epoch_cap) for source in recipe.data.sources] == [
        ("web", 0.7, None),
        ("code", 0.3, 4.0),
    ]
    assert load(tmp_path, recipe.to_toml()) == recipe
    with pytest.raises(RecipeError, match="unknown key 'wieght'"):
        load(tmp_path, mixed.replace("weight = 0.3", "wieght = 0.3"))


def test_one_file_prepares_and_trains(tmp_path: Path, demo: str) -> None:
    table = '\n[prepare]\nlanguage = "zh"\n[[prepare.steps]]\nname = "c4_quality"\nlorem_ipsum = false\n'
    sources = '[[prepare.sources]]\nname = "web"\npaths = ["a", "b"]\n'
    recipe = load(tmp_path, demo + table + sources)
    assert load(tmp_path, recipe.to_toml()) == recipe
    text = load_text_recipe(written(tmp_path, recipe.to_toml()), environment={})
    assert (text.prepare, text.data) == (recipe.prepare, recipe.data)
    assert text.prepare is not None
    assert text.prepare.steps == ({"name": "c4_quality", "lorem_ipsum": False},)
    # A run whose text came from elsewhere says nothing of it.
    assert "prepare" not in load(tmp_path, demo).to_table()
    with pytest.raises(RecipeError, match="did you mean 'prepare'"):
        load_text_recipe(written(tmp_path, "[prepair]\nseed = 1\n"), environment={})


def test_a_ramp_is_named_by_three_keys(tmp_path: Path, demo: str) -> None:
    settings = ("training.ramp=doubling", "training.ramp_from=2", "training.ramp_tokens=4k")
    assert load(tmp_path, demo, *settings).training.batch_rule.size_at(4000) == 4
    with pytest.raises(RecipeError, match="ramp_from = None"):
        load(tmp_path, demo, *settings[::2])


FOREIGN = """
[training]
global_batch_size = 2
micro_batch_size = 1
sequence_length = 16
tokens = 64
learning_rate = 1e-3

[model]
"""


def test_a_function_s_model_keeps_its_arguments_and_survives_a_round_trip(tmp_path: Path) -> None:
    text = (
        f'{FOREIGN}function = "mine:build"\nvocabulary_size = 61\narguments = {{ width = 8, form = {{ deep = 2 }} }}\n'
    )
    recipe = load(tmp_path, text, "model.arguments.width=16")
    assert recipe.model.to_dict() == {
        "function": "mine:build",
        "vocabulary_size": 61,
        "sequence_length": 16,
        "arguments": {"width": 16, "form": {"deep": 2}},
    }
    assert load(tmp_path, recipe.to_toml()) == recipe
    with pytest.raises(RecipeError, match="names a foreign one"):
        assert recipe.shape


def test_a_config_json_is_a_model_by_its_path_or_in_the_recipe_itself(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text('{"model_type": "qwen3", "vocab_size": 61, "max_position_embeddings": 32}')
    by_path = load(tmp_path, f'{FOREIGN}hugging_face = "{config}"\n')
    inside = load(
        tmp_path,
        f'{FOREIGN}[model.hugging_face]\nmodel_type = "qwen3"\nvocab_size = 61\nmax_position_embeddings = 32\n',
    )
    assert by_path.model.hash == inside.model.hash
    assert by_path.model.vocabulary_size == 61
    assert load(tmp_path, by_path.to_toml()) == by_path
    assert load(tmp_path, inside.to_toml()) == inside
    assert (
        load(tmp_path, f'{FOREIGN}hugging_face = "{config}"\n', "model.vocabulary_size=99").model.config["vocab_size"]
        == 99
    )


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ('hugging_face = "nowhere/config.json"', "there is no such file"),
        ('hugging_face = { model_type = "x", vocab_size = 9, auto_map = { a = "b" } }', "code of its own"),
        ("hugging_face = { vocab_size = 9 }", "states no model_type"),
        ('hugging_face = { model_type = "x" }', "states no vocab_size"),
        ('hugging_face = { model_type = "x", vocab_size = 9, n_positions = 8 }', "positions end at 8"),
        ('hugging_face = { model_type = "x", vocab_size = 9 }\nwidth = 8', "unknown key 'width'"),
        ('hugging_face = { model_type = "x", vocab_size = 9 }\nfunction = "a:b"', "both hugging_face and function"),
        ('function = "a.b"\nvocabulary_size = 9', "does not name a function"),
        ('function = "a:b"', "model.vocabulary_size is missing"),
        ('function = "a:b"\nvocabulary_size = 9\narguments = 3', "must be a table"),
        ('function = "a:b"\nvocabulary_size = 9\narguments = { vocabulary_size = 3 }', "stands in .model. itself"),
    ],
)
def test_a_foreign_model_that_is_none_is_refused(tmp_path: Path, model: str, words: str) -> None:
    with pytest.raises(RecipeError, match=words) as caught:
        load(tmp_path, FOREIGN + model)
    assert "recipe.toml" in str(caught.value) or "nowhere" in str(caught.value)
