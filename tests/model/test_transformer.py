"""The module itself: shapes, causality, rotary positions, weights with names, and the mask against its definition."""

import math
from dataclasses import replace

import pytest
import torch

from batchwright.model.config import ModelConfig
from batchwright.model.embedding import RotaryPositions, rotate
from batchwright.model.isolation import isolation_mask
from batchwright.model.transformer import Transformer

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


def test_both_precisions_begin_from_the_same_weights() -> None:
    single, double = Transformer(SHAPE, seed=3), Transformer(SHAPE, seed=3, dtype=torch.float64)
    for a, b in zip(single.parameters(), double.parameters(), strict=True):
        assert torch.equal(a.double(), b)
