"""Law: what else stands in the row never changes a document's scores, not by one bit; in every form of attention.

The broken twin resets the positions of each document, as isolation does, but lets attention see the whole row.
"""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from batchwright.model import isolation
from batchwright.model.config import ModelConfig
from batchwright.model.isolation import WholeRow, attend
from batchwright.model.transformer import Transformer
from tests.model.segmented import parts_of, position_ids_of
from tests.model.variants import PARTS, variant

VOCABULARY, LENGTH = 37, 20
SHAPE = ModelConfig(
    vocabulary_size=VOCABULARY, sequence_length=LENGTH, width=16, layers=2, heads=2, feed_forward_width=24
)
Scores = Callable[[Transformer, torch.Tensor, torch.Tensor], torch.Tensor]


def isolated(model: Transformer, ids: torch.Tensor, position_ids: torch.Tensor) -> torch.Tensor:
    return model(ids, position_ids)


def isolated_by_segments(model: Transformer, ids: torch.Tensor, position_ids: torch.Tensor) -> torch.Tensor:
    """As the model does above the limit of the mask."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(isolation, "MASKED_LENGTH_LIMIT", 1)
        return model(ids, position_ids)


def only_positions_reset(model: Transformer, ids: torch.Tensor, position_ids: torch.Tensor) -> torch.Tensor:
    return model(ids, position_ids, isolate=False)


def change_beside(scores: Scores, before: int, length: int, seed: int, shape: ModelConfig = SHAPE) -> float:
    """Largest change of the scores of slots [before, before + length) when every other slot's token is replaced."""
    draw = torch.Generator().manual_seed(seed)
    ids = torch.randint(VOCABULARY, (2, LENGTH), generator=draw)
    position_ids = torch.arange(LENGTH).repeat(2, 1)
    position_ids[:, before:] -= before
    position_ids[:, before + length :] -= length
    inside = slice(before, before + length)
    other = torch.randint(VOCABULARY, (2, LENGTH), generator=draw)
    other[:, inside] = ids[:, inside]
    model = Transformer(shape, seed=seed).eval()
    with torch.no_grad():
        return float((scores(model, ids, position_ids) - scores(model, other, position_ids))[:, inside].abs().max())


def moved(scores: Scores, before: int, length: int, seed: int, shape: ModelConfig = SHAPE) -> float:
    """Largest change when the document stands at the row's beginning instead of behind `before` other tokens."""
    draw = torch.Generator().manual_seed(seed)
    document = torch.randint(VOCABULARY, (1, length), generator=draw)
    filling = torch.randint(VOCABULARY, (1, LENGTH - length), generator=draw)
    position_ids = torch.arange(LENGTH)[None]
    behind = torch.where(position_ids >= before, position_ids - before, position_ids)
    behind = torch.where(position_ids >= before + length, position_ids - before - length, behind)
    first = torch.where(position_ids >= length, position_ids - length, position_ids)
    model = Transformer(shape, seed=seed).eval()
    with torch.no_grad():
        here = scores(model, torch.cat([document, filling], 1), first)[:, :length]
        there = scores(model, torch.cat([filling[:, :before], document, filling[:, before:]], 1), behind)
    return float((here - there[:, before : before + length]).abs().max())


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize("scores", [isolated, isolated_by_segments])
@given(
    before=st.integers(0, 15), length=st.integers(1, 5), seed=st.integers(0, 10**6), parts=st.sampled_from(list(PARTS))
)
@settings(max_examples=60)
def test_a_neighbour_never_changes_a_documents_scores_by_one_bit(
    scores: Scores, before: int, length: int, seed: int, parts: str
) -> None:
    assert change_beside(scores, before, length, seed, variant(parts, SHAPE)) == 0.0


@pytest.mark.parametrize("scores", [isolated, isolated_by_segments])
@pytest.mark.parametrize("parts", PARTS)
def test_a_neighbour_changes_no_bit_in_any_kind_of_model(scores: Scores, parts: str) -> None:
    assert change_beside(scores, 7, 5, 1, variant(parts, SHAPE)) == 0.0
    assert moved(scores, 7, 5, 1, variant(parts, SHAPE)) < 1e-5


@pytest.mark.parametrize("scores", [isolated, isolated_by_segments])
@given(before=st.integers(1, 15), length=st.integers(1, 5), seed=st.integers(0, 10**6))
@settings(max_examples=20)
def test_a_documents_scores_do_not_depend_on_where_in_the_row_it_stands(
    scores: Scores, before: int, length: int, seed: int
) -> None:
    assert moved(scores, before, length, seed) < 1e-5  # the kernel adds in another order, so not bit for bit


@pytest.mark.parametrize("parts", PARTS)
def test_resetting_positions_alone_is_caught(parts: str) -> None:
    assert change_beside(only_positions_reset, 7, 5, 1, variant(parts, SHAPE)) > 1e-3
    assert moved(only_positions_reset, 7, 5, 1, variant(parts, SHAPE)) > 1e-3


def positions_by_slot(model: Transformer, ids: torch.Tensor, position_ids: torch.Tensor) -> torch.Tensor:
    """The mistake of adding the learned vector of the *slot*."""
    learned = model.positions
    assert learned is not None
    by_slot = torch.arange(LENGTH)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learned, "forward", lambda position_ids: learned.weight[by_slot.expand(position_ids.shape)])
        return model(ids, position_ids)


def test_learned_positions_that_do_not_restart_are_caught() -> None:
    assert moved(positions_by_slot, 7, 5, 1, variant("classic", SHAPE)) > 1e-3


def leaked(form: str, before: int, length: int, after: int, shared: bool = False) -> float:
    """Largest change of one document's outputs when queries, keys and values of all other slots are replaced."""
    position_ids = position_ids_of([[n for n in (before, length, after) if n]])
    inside = slice(before, before + length)
    outputs: list[torch.Tensor] = []
    kept = parts_of(position_ids, 0)
    for seed in (1, 2):
        parts = [x.detach() for x in parts_of(position_ids, seed)]
        for mine, theirs in zip(parts, kept, strict=True):
            mine[:, inside] = theirs[:, inside].detach()
        if shared:
            parts[1:] = [x[:, :, :1] for x in parts[1:]]  # both heads of queries look at one of keys and values
        out = WholeRow().attend(*parts) if form == "not isolated" else attend(*parts, position_ids, form=form)  # type: ignore[arg-type]
        outputs.append(out[:, inside])
    return float((outputs[0] - outputs[1]).abs().max())


@pytest.mark.parametrize("form", ["mask", "segments", "blocks"])
@pytest.mark.parametrize(("before", "length", "after"), [(3, 5, 2), (0, 7, 9), (127, 2, 0), (200, 140, 60)])
@pytest.mark.parametrize("shared", [False, True])
def test_no_form_of_attention_lets_a_neighbour_in(
    form: str, before: int, length: int, after: int, shared: bool
) -> None:
    assert leaked(form, before, length, after, shared) == 0.0


def test_attention_over_the_whole_row_is_caught() -> None:
    assert leaked("not isolated", 3, 5, 2) > 1e-3
