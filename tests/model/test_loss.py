"""Sum and count, both forms."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from batchwright.model import loss as losses
from batchwright.model.loss import chunked_cross_entropy, masked_cross_entropy


def batch(seed: int, rows: int, slots: int, vocabulary: int, width: int = 8) -> tuple[torch.Tensor, ...]:
    draw = torch.Generator().manual_seed(seed)
    hidden = torch.randn(rows, slots, width, dtype=torch.float64, generator=draw, requires_grad=True)
    weight = torch.randn(vocabulary, width, dtype=torch.float64, generator=draw, requires_grad=True)
    targets = torch.randint(vocabulary, (rows, slots), generator=draw)
    return hidden, weight, targets, torch.rand(rows, slots, generator=draw) < 0.6


def test_the_sum_is_the_definition() -> None:
    hidden, weight, targets, mask = batch(0, 2, 5, 11)
    logits = hidden @ weight.T
    total, count = masked_cross_entropy(logits, targets, mask)
    p = torch.softmax(logits.detach(), -1)
    by_hand = sum(-float(torch.log(p[b, t, targets[b, t]])) for b in range(2) for t in range(5) if bool(mask[b, t]))
    assert total.item() == pytest.approx(by_hand, rel=1e-12)
    assert count == int(mask.sum())


@given(seed=st.integers(0, 10**6), rows=st.integers(1, 4), slots=st.integers(1, 9), chunk=st.integers(1, 40))
@settings(max_examples=30)
def test_chunks_of_any_size_give_the_same_sum_and_gradients(seed: int, rows: int, slots: int, chunk: int) -> None:
    hidden, weight, targets, mask = batch(seed, rows, slots, 11)
    whole, count = masked_cross_entropy(hidden @ weight.T, targets, mask)
    expected = torch.autograd.grad(whole * 0.3, (hidden, weight))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(losses, "chunk_slots", lambda vocabulary: chunk)
        total, chunked_count = chunked_cross_entropy(hidden, weight, targets, mask)
        found = torch.autograd.grad(total * 0.3, (hidden, weight))
    assert (total.item(), chunked_count) == (pytest.approx(whole.item(), rel=1e-12), count)
    for a, b in zip(expected, found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_padding_weighs_nothing_whatever_stands_in_it() -> None:
    hidden, weight, targets, mask = batch(3, 2, 6, 11)
    other = torch.where(mask, targets, 10 - targets)
    garbage = torch.where(mask, targets, -7)  # an id that is none
    for form in (
        lambda t: masked_cross_entropy(hidden @ weight.T, t, mask),
        lambda t: chunked_cross_entropy(hidden, weight, t, mask),
    ):
        results = [form(t) for t in (targets, other, garbage)]
        gradients = [torch.autograd.grad(total, (hidden, weight)) for total, _ in results]
        assert len({total.item() for total, _ in results}) == 1
        for part in range(2):
            assert torch.equal(gradients[0][part], gradients[1][part])
        assert not gradients[0][0][~mask].any()


def test_no_target_at_all_is_zero_with_a_gradient_of_zeros() -> None:
    hidden, weight, targets, mask = batch(3, 2, 6, 11)
    nothing = torch.zeros_like(mask)
    for total, count in (
        masked_cross_entropy(hidden @ weight.T, targets, nothing),
        chunked_cross_entropy(hidden, weight, targets, nothing),
    ):
        assert (total.item(), count) == (0.0, 0)
        assert not torch.autograd.grad(total, hidden)[0].any()


def test_evaluating_computes_no_gradient() -> None:
    hidden, weight, targets, mask = batch(3, 2, 6, 11)
    expected, _ = chunked_cross_entropy(hidden, weight, targets, mask)
    with torch.no_grad():
        total, _ = chunked_cross_entropy(hidden, weight, targets, mask)
    assert not total.requires_grad
    assert total.item() == expected.item()


def test_gradients_that_were_handed_on_are_not_asked_for_again() -> None:
    hidden, weight, targets, mask = batch(3, 2, 6, 11)
    total, _ = chunked_cross_entropy(hidden, weight, targets, mask)
    total.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="one backward per forward"):
        total.backward()


def test_scores_far_from_zero_neither_overflow_nor_lose_the_loss() -> None:
    hidden, weight, targets, mask = batch(4, 2, 6, 11)
    expected, _ = masked_cross_entropy(300 * hidden.detach() @ weight.detach().T, targets, mask)
    total, _ = chunked_cross_entropy(300 * hidden.detach(), weight.detach(), targets, mask)
    assert total.item() == pytest.approx(expected.item(), rel=1e-12)
