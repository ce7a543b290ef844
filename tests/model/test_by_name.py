"""Any module trains that keeps the protocol; what it does not keep is said before the first step."""

import pytest
import torch

from batchwright.foundation.errors import InputError
from batchwright.model.config import ModelConfig
from batchwright.model.description import FunctionModel, description_of
from batchwright.model.generation import generate
from batchwright.model.probe import probe_model, probed
from batchwright.model.protocol import HiddenModel, build_model
from batchwright.model.transformer import Transformer

HOME = "tests.model.by_function"


def described(name: str = "build", **arguments: object) -> FunctionModel:
    return FunctionModel(function=f"{HOME}:{name}", vocabulary_size=23, sequence_length=16, arguments=arguments)


def test_a_function_s_model_is_the_same_for_the_same_seed_and_leaves_the_generator_alone() -> None:
    before = torch.get_rng_state()
    first, again, other = (probed(described(width=8), seed=seed, isolate=True) for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not torch.equal(first.embedding.weight, other.embedding.weight)
    assert first.embedding.weight.shape == (23, 8)


def test_our_transformer_keeps_the_protocol_that_others_are_held_to() -> None:
    shape = ModelConfig(vocabulary_size=23, sequence_length=16, width=16, layers=2, heads=2, feed_forward_width=24)
    model = build_model(shape, seed=0)
    assert isinstance(model, Transformer)
    assert isinstance(model, HiddenModel)
    probe_model(model, vocabulary_size=23, sequence_length=16, isolate=True, name="ours")


def test_a_model_with_and_one_without_hidden_vectors_are_told_apart() -> None:
    assert isinstance(probed(described(kind="WithHidden"), seed=0, isolate=True), HiddenModel)
    assert not isinstance(probed(described(), seed=0, isolate=True), HiddenModel)


def test_text_is_sampled_from_a_function_s_model() -> None:
    made = generate(probed(described(), seed=0, isolate=True), described(), [1, 2], 20)
    assert len(made) == 20
    assert all(0 <= token < 23 for token in made)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (described("leaking"), "a document sees its neighbour"),
        (described(kind="Bidirectional"), "a token sees later ones"),
        (described(kind="SlotPositions"), "depend on its place in the row"),
        (described(kind="Dropping"), "other scores the second time"),
        (described(kind="Counting"), "the buffer seen changes"),
        (described(kind="NarrowScores"), r"forward gave \(2, 12, 22\) .* not \(2, 12, 23\)"),
        (described(kind="Tuples"), "forward gave a tuple"),
        (described(kind="HalfHidden"), "has hidden and no output_weight"),
        (described("other_forward"), r"OtherForward.forward cannot be called as the trainer does"),
        (described("no_module"), "it returned a str"),
        (described("bild"), "has no function 'bild'"),
        (described(widht=8), "cannot be called with vocabulary_size, sequence_length, widht"),
        (FunctionModel(function="nowhere:build", vocabulary_size=2, sequence_length=2), "no module 'nowhere'"),
    ],
    ids=lambda value: None if isinstance(value, str) else value.arguments.get("kind", value.function.partition(":")[2]),
)
def test_what_a_model_lacks_is_said_by_name(model: FunctionModel, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        probed(model, seed=0, isolate=True)
    assert model.function in str(caught.value)


def test_a_model_that_cannot_isolate_may_train_where_nobody_asks_for_it() -> None:
    probed(described("leaking"), seed=0, isolate=False)


def test_a_module_beside_the_recipe_is_found(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text(f"from {HOME} import build\n")  # type: ignore[operator]
    monkeypatch.chdir(tmp_path)  # type: ignore[arg-type]
    description = FunctionModel(function="mine:build", vocabulary_size=23, sequence_length=16)
    assert sum(p.numel() for p in build_model(description, seed=0).parameters()) > 0


def test_a_description_comes_back_from_what_a_checkpoint_keeps() -> None:
    model = described(width=8)
    assert description_of(model.to_dict()) == model
    assert model.hash != described(width=9).hash
    assert (model.parameter_count(), model.flops_per_token()) == (None, None)
