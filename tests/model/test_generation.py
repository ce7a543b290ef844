"""Sampling is a function of (weights, beginning, temperature, seed)."""

import pytest
import torch

from batchwright.foundation.errors import InputError
from batchwright.model.config import ModelConfig
from batchwright.model.generation import generate
from batchwright.model.transformer import Transformer

MODEL = Transformer(
    ModelConfig(vocabulary_size=23, sequence_length=8, width=16, layers=1, heads=2, feed_forward_width=24), seed=2
)


def test_the_same_seed_gives_the_same_text_and_another_gives_another() -> None:
    texts = [generate(MODEL, MODEL.config, [1, 2], 30, seed=seed) for seed in (0, 0, 1)]
    assert texts[0] == texts[1] != texts[2]
    assert len(texts[0]) == 30  # more than the window of 8
    assert all(0 <= i < 23 for i in texts[0])


def test_the_generator_of_the_process_is_left_alone() -> None:
    before = torch.get_rng_state()
    generate(MODEL, MODEL.config, [1], 5)
    assert torch.equal(before, torch.get_rng_state())


def test_temperature_zero_takes_the_likeliest_and_a_tiny_one_nearly_does() -> None:
    greedy = generate(MODEL, MODEL.config, [3], 6, temperature=0)
    assert (
        greedy
        == generate(MODEL, MODEL.config, [3], 6, temperature=0, seed=9)
        == generate(MODEL, MODEL.config, [3], 6, temperature=1e-9)
    )
    with torch.no_grad():
        scores = MODEL(torch.tensor([[3]]), torch.tensor([[0]]))
    assert greedy[0] == int(scores[0, -1].argmax())


def test_the_end_of_a_text_ends_it() -> None:
    free = generate(MODEL, MODEL.config, [1, 2], 30, seed=0)
    stopped = generate(MODEL, MODEL.config, [1, 2], 30, seed=0, stop_id=free[4])
    assert stopped == free[: free.index(free[4])]


@pytest.mark.parametrize(("ids", "words"), [([], "nothing to go on from"), ([23], "id 23 is outside"), ([-1], "id -1")])
def test_a_beginning_that_is_none_is_refused(ids: list[int], words: str) -> None:
    with pytest.raises(InputError, match=words):
        generate(MODEL, MODEL.config, ids, 1)
