"""The blocks computed from runs are the blocks torch finds by looking at every pair."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from torch.nn.attention.flex_attention import create_block_mask

from batchwright.model.block_mask import document_block_mask, segment_starts
from tests.model.segmented import position_ids_of, segmentations


def blocks(mask: Any) -> list[list[list[set[int]]]]:
    """For keys and for queries, masked and whole: the set of blocks per row and block."""
    out: list[list[list[set[int]]]] = []
    for side in ("kv", "full_kv", "q", "full_q"):
        counts, places = getattr(mask, f"{side}_num_blocks"), getattr(mask, f"{side}_indices")
        out.append(
            [[set(p[0, i, :n].tolist()) for i, n in enumerate(c[0])] for c, p in zip(counts, places, strict=True)]
        )
    return out


def by_looking(position_ids: torch.Tensor, *, isolate: bool = True) -> Any:
    segments = (position_ids == 0).cumsum(1)
    rows, length = position_ids.shape

    def allowed(b: torch.Tensor, h: torch.Tensor, q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
        return (q >= k) & ((segments[b, q] == segments[b, k]) | (not isolate))

    return create_block_mask(allowed, rows, None, length, length, device="cpu")


@given(rows=segmentations(longest=500))
@settings(max_examples=10)
def test_the_blocks_are_those_torch_finds(rows: list[list[int]]) -> None:
    position_ids = position_ids_of(rows)
    mask = document_block_mask(position_ids)
    assert blocks(mask) == blocks(by_looking(position_ids))
    assert mask.shape == (len(rows), 1, *position_ids.shape[1:] * 2)


@pytest.mark.parametrize("rows", [[[256, 128]], [[127, 257]], [[129, 255]], [[128] * 3], [[384]]])
def test_segments_that_end_at_or_beside_a_block_are_right_too(rows: list[list[int]]) -> None:
    position_ids = position_ids_of(rows)
    assert blocks(document_block_mask(position_ids)) == blocks(by_looking(position_ids))


def test_blocks_that_let_neighbours_in_would_be_caught() -> None:
    position_ids = position_ids_of([[200, 184]])
    assert blocks(document_block_mask(position_ids)) != blocks(by_looking(position_ids, isolate=False))


def test_a_slot_knows_where_its_segment_begins() -> None:
    assert segment_starts(torch.tensor([[0, 1, 0, 0, 1], [4, 5, 6, 0, 1]])).tolist() == [
        [0, 0, 2, 3, 3],
        [0, 0, 0, 3, 3],
    ]
