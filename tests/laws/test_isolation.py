"""Law: what else stands in the row never changes a document's scores, not by one bit.

The broken twin resets the positions of each document, as isolation does, but lets attention see the whole row.
"""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from batchwright.model.config import ModelConfig
from batchwright.model.transformer import Transformer

VOCABULARY, LENGTH = 37, 20
SHAPE = ModelConfig(
    vocabulary_size=VOCABULARY, sequence_length=LENGTH, width=16, layers=2, heads=2, feed_forward_width=24
)
Scores = Callable[[Transformer, torch.Tensor, torch.Tensor], torch.Tensor]


def isolated(model: Transformer, ids: torch.Tensor, position_ids: torch.Tensor) -> torch.Tensor:
    return model(ids, position_ids)


def only_positions_reset(model: Transformer, ids: torch.Tensor, position_ids: torch.Tensor) -> torch.Tensor:
    return model(ids, position_ids, isolate=False)


def change_beside(scores: Scores, before: int, length: int, seed: int) -> float:
    """Largest change of the scores of slots [before, before + length) when every other slot's token is replaced."""
    draw = torch.Generator().manual_seed(seed)
    ids = torch.randint(VOCABULARY, (2, LENGTH), generator=draw)
    position_ids = torch.arange(LENGTH).repeat(2, 1)
    position_ids[:, before:] -= before
    position_ids[:, before + length :] -= length
    inside = slice(before, before + length)
    other = torch.randint(VOCABULARY, (2, LENGTH), generator=draw)
    other[:, inside] = ids[:, inside]
    model = Transformer(SHAPE, seed=seed).eval()
    with torch.no_grad():
        return float((scores(model, ids, position_ids) - scores(model, other, position_ids))[:, inside].abs().max())


def moved(scores: Scores, before: int, length: int, seed: int) -> float:
    """Largest change when the document stands at the row's beginning instead of behind `before` other tokens."""
    draw = torch.Generator().manual_seed(seed)
    document = torch.randint(VOCABULARY, (1, length), generator=draw)
    filling = torch.randint(VOCABULARY, (1, LENGTH - length), generator=draw)
    position_ids = torch.arange(LENGTH)[None]
    behind = torch.where(position_ids >= before, position_ids - before, position_ids)
    behind = torch.where(position_ids >= before + length, position_ids - before - length, behind)
    first = torch.where(position_ids >= length, position_ids - length, position_ids)
    model = Transformer(SHAPE, seed=seed).eval()
    with torch.no_grad():
        here = scores(model, torch.cat([document, filling], 1), first)[:, :length]
        there = scores(model, torch.cat([filling[:, :before], document, filling[:, before:]], 1), behind)
    return float((here - there[:, before : before + length]).abs().max())


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    torch.set_num_threads(1)


@given(before=st.integers(0, 15), length=st.integers(1, 5), seed=st.integers(0, 10**6))
@settings(max_examples=40)
def test_a_neighbour_never_changes_a_documents_scores_by_one_bit(before: int, length: int, seed: int) -> None:
    assert change_beside(isolated, before, length, seed) == 0.0


@given(before=st.integers(1, 15), length=st.integers(1, 5), seed=st.integers(0, 10**6))
@settings(max_examples=20)
def test_a_documents_scores_do_not_depend_on_where_in_the_row_it_stands(before: int, length: int, seed: int) -> None:
    assert moved(isolated, before, length, seed) < 1e-5  # the kernel adds in another order, so not bit for bit


def test_resetting_positions_alone_is_caught() -> None:
    assert change_beside(only_positions_reset, before=7, length=5, seed=1) > 1e-3
    assert moved(only_positions_reset, before=7, length=5, seed=1) > 1e-3
