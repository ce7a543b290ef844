"""The module itself: shapes, causality, rotary positions, weights with names, and the mask against its definition."""

import math
from dataclasses import replace

import pytest
import torch

from batchwright.foundation.errors import InputError
from batchwright.foundation.randomness import key as named_key
from batchwright.model.config import ModelConfig
from batchwright.model.embedding import RotaryPositions, rotate
from batchwright.model.isolation import isolation_mask
from batchwright.model.transformer import Transformer
from tests.model.variants import PARTS, variant

SHAPE = ModelConfig(vocabulary_size=53, sequence_length=16, width=16, layers=2, heads=2, feed_forward_width=24)


def inputs(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(53, (3, 16), generator=draw), torch.arange(16).repeat(3, 1)


def test_ids_become_vectors_and_vectors_become_scores() -> None:
    model = Transformer(SHAPE, seed=0)
    ids, position_ids = inputs()
    assert model.embedding(ids).shape == (3, 16, 16)
    assert model.hidden(ids, position_ids).shape == (3, 16, 16)
    assert model(ids, position_ids).shape == (3, 16, 53)


@pytest.mark.parametrize("isolate", [True, False])
def test_no_slot_sees_what_comes_after_it(isolate: bool) -> None:
    model = Transformer(SHAPE, seed=0)
    ids, position_ids = inputs()
    other = ids.clone()
    other[:, 9:] = (other[:, 9:] + 1) % 53
    with torch.no_grad():
        a, b = (model(x, position_ids, isolate=isolate) for x in (ids, other))
    assert torch.equal(a[:, :9], b[:, :9])
    assert not torch.equal(a[:, 9:], b[:, 9:])


def test_one_document_per_row_needs_no_mask() -> None:
    model = Transformer(SHAPE, seed=0, dtype=torch.float64)
    ids, position_ids = inputs()
    with torch.no_grad():
        a, b = (model(ids, position_ids, isolate=isolate) for isolate in (True, False))
    torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_the_mask_is_its_definition() -> None:
    position_ids = torch.tensor([[0, 1, 2, 0, 1], [0, 0, 1, 0, 0]])
    mask = isolation_mask(position_ids, torch.float32)
    assert mask.shape == (2, 1, 5, 5)
    for row, segments in enumerate(([1, 1, 1, 2, 2], [1, 2, 2, 3, 4])):
        for query in range(5):
            for key in range(5):
                seen = key <= query and segments[key] == segments[query]
                assert mask[row, 0, query, key] == (0.0 if seen else -math.inf)


def test_rotation_depends_on_the_distance_alone() -> None:
    rotary = RotaryPositions(8, 10_000.0)
    draw = torch.Generator().manual_seed(0)
    query, key = (torch.randn(1, 1, 1, 1, 8, dtype=torch.float64, generator=draw) for _ in range(2))

    def product(at: int, distance: int) -> float:
        turned = [rotate(x, rotary(torch.tensor([[p]]), torch.float64)) for x, p in ((query, at + distance), (key, at))]
        return float((turned[0] * turned[1]).sum())

    assert product(0, 3) == pytest.approx(product(100, 3), rel=1e-9)
    assert product(0, 3) != pytest.approx(product(0, 4), rel=1e-3)


def test_rotation_is_the_papers_formula() -> None:
    x = torch.arange(1.0, 5.0, dtype=torch.float64).view(1, 1, 1, 1, 4)
    turned = rotate(x, RotaryPositions(4, 10_000.0)(torch.tensor([[2]]), torch.float64)).flatten().tolist()
    expected: list[float] = []
    for pair in range(2):
        angle = 2 * 10_000.0 ** (-2 * pair / 4)
        a, b = 1.0 + 2 * pair, 2.0 + 2 * pair
        expected += [a * math.cos(angle) - b * math.sin(angle), a * math.sin(angle) + b * math.cos(angle)]
    assert turned == pytest.approx(expected, rel=1e-12)


def test_weights_are_named_by_seed_and_name_so_a_further_layer_changes_no_other() -> None:
    small, deep = Transformer(SHAPE, seed=3), Transformer(replace(SHAPE, layers=3), seed=3)
    again, other = Transformer(SHAPE, seed=3), Transformer(SHAPE, seed=4)
    deep_weights = dict(deep.named_parameters())
    for (name, weight), repeated in zip(small.named_parameters(), again.parameters(), strict=True):
        assert torch.equal(weight, repeated)
        if weight.ndim > 1 and not name.endswith(("attention.output.weight", "down.weight")):
            assert torch.equal(weight, deep_weights[name])
    assert not torch.equal(small.embedding.weight, other.embedding.weight)


@pytest.mark.parametrize("parts", PARTS)
def test_every_weight_comes_from_the_stream_of_its_own_name(parts: str) -> None:
    shape = variant(parts, SHAPE)
    wide, deep = math.sqrt(2 / (5 * shape.width)), math.sqrt(2 * shape.layers)
    for name, weight in Transformer(shape, seed=3).named_parameters():
        if weight.ndim == 1:
            assert bool((weight == (0 if name.endswith("bias") else 1)).all())
            continue
        deviation = wide / deep if name.endswith(("attention.output.weight", "down.weight")) else wide
        deviation = wide / 2 if name == "positions.weight" else deviation
        stream = torch.Generator().manual_seed(named_key(3, "weights", name))
        assert torch.equal(weight, torch.empty(weight.shape).normal_(0.0, deviation, generator=stream))


def test_a_row_longer_than_the_learned_positions_is_refused() -> None:
    model = Transformer(variant("classic", SHAPE), seed=0)
    ids = torch.zeros(1, 17, dtype=torch.int64)
    with pytest.raises(InputError, match="a row has 17 slots, and the model has learned 16 positions") as caught:
        model(ids, torch.arange(17)[None])
    assert "at most 16 tokens" in str(caught.value.remedy)
    assert Transformer(SHAPE, seed=0)(ids, torch.arange(17)[None]).shape == (1, 17, 53)


def test_an_untied_output_is_a_table_of_its_own() -> None:
    model = Transformer(variant("untied", SHAPE), seed=0)
    model(*inputs()).sum().backward()
    assert model.output_weight is not model.embedding.weight
    assert model.output_weight.grad is not None
    assert model.output_weight.shape == model.embedding.weight.shape


def test_shared_heads_are_the_same_as_heads_that_are_equal() -> None:
    """A model whose key-value heads are copied out computes what the sharing one does."""
    shared = Transformer(variant("two heads share", SHAPE), seed=0, dtype=torch.float64)
    whole = Transformer(replace(shared.config, key_value_heads=4), seed=0, dtype=torch.float64)
    weights = {name: weight for name, weight in shared.named_parameters() if "query_key_value" not in name}
    for name, weight in shared.named_parameters():
        if "query_key_value" in name:
            query, key, value = weight.detach().split((16, 8, 8))
            copied = [x.view(2, 1, 4, 16).expand(2, 2, 4, 16).reshape(16, 16) for x in (key, value)]
            weights[name] = torch.nn.Parameter(torch.cat([query, *copied]))
    whole.load_state_dict(weights)
    ids, _ = inputs()
    position_ids = torch.tensor([[*range(9), *range(7)]] * 3)
    torch.testing.assert_close(whole(ids, position_ids), shared(ids, position_ids), rtol=1e-12, atol=1e-12)


def test_the_classic_parts_are_gpt2s_own() -> None:
    """transformers' GPT-2 with these weights gives these scores."""
    transformers = pytest.importorskip("transformers")
    shape = variant("classic", SHAPE)
    ours = Transformer(replace(shape, feed_forward_width=64), seed=5)
    with torch.no_grad():
        for name, weight in ours.named_parameters():
            if name.endswith("bias"):
                weight.normal_(generator=torch.Generator().manual_seed(named_key(1, name)))
    settings = {"vocab_size": 53, "n_positions": 16, "n_embd": 16, "n_layer": 2, "n_head": 2}
    theirs = transformers.GPT2LMHeadModel(transformers.GPT2Config(**settings)).eval()
    names = {
        "embedding": "wte",
        "positions": "wpe",
        "blocks": "h",
        "attention_norm": "ln_1",
        "feed_forward_norm": "ln_2",
        "final_norm": "ln_f",
        "attention": "attn",
        "query_key_value": "c_attn",
        "output": "c_proj",
        "feed_forward": "mlp",
        "up": "c_fc",
        "down": "c_proj",
    }
    state = {}
    for name, weight in ours.state_dict().items():
        theirs_name = ".".join(names.get(part, part) for part in name.split("."))
        turned = weight.ndim == 2 and not theirs_name.startswith("w")  # its Conv1D holds matrices the other way round
        state[f"transformer.{theirs_name}"] = weight.T if turned else weight
    theirs.load_state_dict({**state, "lm_head.weight": state["transformer.wte.weight"]})
    ids, position_ids = inputs()
    with torch.no_grad():
        torch.testing.assert_close(ours(ids, position_ids), theirs(ids).logits, rtol=1e-4, atol=1e-5)


def test_both_precisions_begin_from_the_same_weights() -> None:
    single, double = Transformer(SHAPE, seed=3), Transformer(SHAPE, seed=3, dtype=torch.float64)
    for a, b in zip(single.parameters(), double.parameters(), strict=True):
        assert torch.equal(a.double(), b)
